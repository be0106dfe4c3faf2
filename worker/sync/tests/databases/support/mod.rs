//! What the tests share: servers, tables, rows, and one worker without a master.

pub(crate) mod alone;
pub(crate) mod checks;
pub(crate) mod mysql_edges;
pub(crate) mod mysql_server;
pub(crate) mod pairs;
pub(crate) mod postgres_server;
pub(crate) mod rows;
pub(crate) mod servers;
pub(crate) mod values;
