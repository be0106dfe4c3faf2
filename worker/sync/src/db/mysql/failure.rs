//! What an error of the server or the driver means.
//!
//! In: the driver's errors. Out: [`DbError`] with its class. Never: a password.
//! Tests: below; against a server in `worker/sync/tests/databases/mysql.rs`.

use crate::db::{Class, DbError};
use mysql_async::{DriverError, Error, IoError};
use std::io;

/// The seam's error for a driver's one.
pub(super) fn db_error(error: Error) -> DbError {
    match error {
        Error::Server(error) => DbError {
            class: class(error.code, &error.state),
            code: error.code.to_string(),
            message: error.message,
        },
        Error::Io(IoError::Tls(error)) => refused_certificate(&error),
        Error::Io(IoError::Io(error))
            if error.kind() == io::ErrorKind::InvalidData && error.to_string().contains("certificate") =>
        {
            refused_certificate(&error)
        }
        Error::Io(error) => DbError::new(Class::Lost, format!("the connection is gone: {error}")),
        Error::Driver(error) => {
            let class = match &error {
                DriverError::ConnectionClosed
                | DriverError::PacketOutOfOrder
                | DriverError::UnexpectedPacket { .. }
                | DriverError::PoolDisconnected
                | DriverError::BadCompressedPacketHeader => Class::Lost,
                DriverError::PacketTooLarge => Class::Row,
                _ => Class::Other,
            };
            DbError::new(class, error.to_string())
        }
        Error::Url(_) => DbError::new(Class::Other, "the url cannot be read"),
        Error::Other(error) => DbError::new(Class::Other, error.to_string()),
    }
}

fn refused_certificate(error: &dyn std::error::Error) -> DbError {
    DbError::new(Class::Denied, format!("TLS: {error}; look at ssl-mode and ssl-ca of its url"))
}

/// The class of a server's error by its number, else by its SQLSTATE.
pub(super) fn class(code: u16, state: &str) -> Class {
    match code {
        // Shutdown, aborted and killed connections, broken handshakes, blocked hosts.
        1042 | 1043 | 1053 | 1077..=1081 | 1129 | 1152 | 1158..=1161 | 1184 | 1927 | 2006 | 2013 | 4031 => {
            Class::Lost
        }
        // Too many connections, lock waits, deadlocks, interrupted statements, timeouts, a table altered under a
        // snapshot; TiDB's write conflicts and busy regions.
        1020
        | 1040
        | 1203
        | 1205
        | 1206
        | 1213
        | 1226
        | 1317
        | 1412
        | 1614
        | 1615
        | 1969
        | 3024
        | 3572
        | 8002
        | 8022
        | 8028
        | 9001..=9007 => Class::Busy,
        1022
        | 1048
        | 1062
        | 1118
        | 1136
        | 1153
        | 1169
        | 1216
        | 1217
        | 1261..=1265
        | 1292
        | 1300
        | 1301
        | 1364
        | 1366
        | 1367
        | 1406
        | 1411
        | 1416
        | 1441
        | 1451
        | 1452
        | 1525
        | 1526
        | 1557
        | 1586
        | 1644
        | 1690
        | 1748
        | 1761
        | 1762
        | 1859
        | 3140..=3158
        | 3732
        | 3819
        | 3903
        | 3904
        | 4025
        | 4038 => Class::Row,
        // 1290, 1792, 1836: a server or session that takes no writes. 1148, 3948, 4166: no LOCAL INFILE.
        1044 | 1045 | 1130 | 1142 | 1143 | 1148 | 1227 | 1251 | 1290 | 1370 | 1410 | 1524 | 1698 | 1792
        | 1820 | 1836 | 1862 | 3118 | 3159 | 3948 | 4151 | 4166 => Class::Denied,
        1049 | 1051 | 1054 | 1109 | 1146 | 1176 | 1932 => Class::Missing,
        _ => match state.get(..2) {
            Some("08") => Class::Lost,
            Some("40") => Class::Busy,
            Some("22" | "23") => Class::Row,
            Some("28") => Class::Denied,
            _ => Class::Other,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_come_before_states() {
        for (code, state, expected) in [
            (1213, "40001", Class::Busy),
            (1205, "HY000", Class::Busy),
            (1062, "23000", Class::Row),
            (1264, "22003", Class::Row),
            (1045, "28000", Class::Denied),
            (1049, "42000", Class::Missing),
            (1927, "70100", Class::Lost),
            (4025, "23000", Class::Row),
            (1064, "42000", Class::Other),
            (9999, "40001", Class::Busy),
            (9999, "22001", Class::Row),
            (9999, "", Class::Other),
        ] {
            assert_eq!(class(code, state), expected, "{code} {state}");
        }
    }
}
