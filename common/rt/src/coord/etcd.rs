pub struct Etcd; pub struct EtcdOptions;
