//! Request ids: a repeated mutation gets the first one's answer (AIP-155).

use super::status;
use crate::runtime::RequestKey;
use prost::Message;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use tonic::Status;

/// The key of a request, none without an id. `request` comes without its id, so that the same wish under
/// the same id is known again and another one is refused.
pub(super) fn key<M: Message>(
    id: &str,
    method: &'static str,
    request: &M,
) -> Result<Option<RequestKey>, Status> {
    if id.is_empty() {
        return Ok(None);
    }
    if id.len() > 36 || !id.bytes().all(|b| b.is_ascii_graphic()) {
        return Err(status::invalid_field(
            "request_id",
            "must be 1 to 36 visible ASCII characters, for example a UUID",
        ));
    }
    // Protobuf maps have no order of their own: prost's maps here are hash maps, so the bytes of equal
    // messages may differ in order. A digest of the sorted bytes does not.
    let mut bytes = request.encode_to_vec();
    bytes.sort_unstable();
    let mut hasher = DefaultHasher::new();
    bytes.hash(&mut hasher);
    let digest = format!("{:016x}", hasher.finish());
    Ok(Some(RequestKey { id: id.to_owned(), method, digest }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use shanty_proto::v1 as pb;

    #[test]
    fn the_same_wish_has_the_same_digest_and_another_has_not() {
        let wish = |name: &str| pb::RunJobRequest { name: name.into(), request_id: String::new() };
        let digest = |name: &str| key("id", "RunJob", &wish(name)).unwrap().unwrap().digest;
        assert_eq!(digest("a"), digest("a"));
        assert_ne!(digest("a"), digest("b"));
        assert!(key("", "RunJob", &wish("a")).unwrap().is_none());
        assert!(key(&"x".repeat(37), "RunJob", &wish("a")).is_err());
        assert!(key("a b", "RunJob", &wish("a")).is_err());
    }
}
