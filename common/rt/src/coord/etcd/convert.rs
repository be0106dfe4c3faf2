//! Our keys, comparisons and times ⇄ etcd's.
//! Tests: below, and the conformance suite.

use crate::coord::{Compare, Entry, Error, LeaseId, Op};
use etcd_client::{CompareOp, KeyValue, PutOptions, ResponseHeader, TxnOp};
use std::time::Duration;

pub(super) fn entry(kv: &KeyValue) -> Result<Entry, Error> {
    let key = kv.key_str().map_err(|_| Error::Refused("a key that is no UTF-8".to_owned()))?;
    Ok(Entry {
        key: key.to_owned(),
        value: kv.value().to_vec(),
        create_revision: kv.create_revision(),
        mod_revision: kv.mod_revision(),
        lease: (kv.lease() != 0).then(|| LeaseId(kv.lease())),
    })
}

pub(super) fn compare(compare: Compare) -> etcd_client::Compare {
    match compare {
        Compare::Absent(key) => etcd_client::Compare::create_revision(key, CompareOp::Equal, 0),
        Compare::CreatedAt(key, at) => etcd_client::Compare::create_revision(key, CompareOp::Equal, at),
        Compare::ModifiedAt(key, at) => etcd_client::Compare::mod_revision(key, CompareOp::Equal, at),
    }
}

pub(super) fn op(op: Op) -> TxnOp {
    match op {
        Op::Put { key, value, lease } => {
            TxnOp::put(key, value, lease.map(|lease| PutOptions::new().with_lease(lease.0)))
        }
        Op::Delete(key) => TxnOp::delete(key, None),
    }
}

pub(super) fn revision(header: Option<&ResponseHeader>) -> Result<i64, Error> {
    header
        .map(ResponseHeader::revision)
        .ok_or_else(|| Error::Refused("an answer without a header".to_owned()))
}

/// etcd's seconds.
pub(super) fn seconds(seconds: i64) -> Duration {
    Duration::from_secs(u64::try_from(seconds).unwrap_or(0))
}

/// Whole seconds that are not less than `ttl`, at least one.
pub(super) fn whole_seconds(ttl: Duration) -> i64 {
    let up = ttl.as_secs() + u64::from(ttl.subsec_nanos() > 0);
    i64::try_from(up.max(1)).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_rounded_up_to_whole_seconds() {
        assert_eq!(whole_seconds(Duration::ZERO), 1);
        assert_eq!(whole_seconds(Duration::from_millis(4001)), 5);
        assert_eq!(whole_seconds(Duration::from_secs(5)), 5);
        assert_eq!(seconds(-1), Duration::ZERO);
    }
}
