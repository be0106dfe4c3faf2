//! Who listens on a port, as far as /proc tells this user.
//!
//! In: a port. Out: a process in words.
//! Tests: in `mod.rs`.

use std::path::Path;

/// `name (pid 123)` of the process that listens on `port`.
pub(super) fn of(port: u16) -> Option<String> {
    let inode = ["/proc/net/tcp", "/proc/net/tcp6"]
        .iter()
        .filter_map(|table| std::fs::read_to_string(table).ok())
        .find_map(|table| table.lines().find_map(|line| listener_inode(line, port)))?;
    let socket = format!("socket:[{inode}]");
    for process in std::fs::read_dir("/proc").ok()?.flatten() {
        let path = process.path();
        let Some(pid) = process.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else {
            continue;
        };
        if holds(&path.join("fd"), &socket) {
            let name = std::fs::read_to_string(path.join("comm")).unwrap_or_default();
            return Some(format!("{} (pid {pid})", name.trim()));
        }
    }
    None
}

/// The inode of a line of /proc/net/tcp when it is a listener (state 0A) on `port`.
fn listener_inode(line: &str, port: u16) -> Option<String> {
    let fields: Vec<&str> = line.split_whitespace().collect();
    let (_, hex) = fields.get(1)?.rsplit_once(':')?;
    let listens = u16::from_str_radix(hex, 16).ok()? == port && *fields.get(3)? == "0A";
    listens.then(|| fields.get(9).map(|inode| (*inode).to_owned())).flatten()
}

fn holds(descriptors: &Path, socket: &str) -> bool {
    let Ok(entries) = std::fs::read_dir(descriptors) else { return false };
    entries
        .flatten()
        .any(|entry| std::fs::read_link(entry.path()).is_ok_and(|link| link.as_os_str() == socket))
}
