use super::*;
use crate::secret::Secret;
use proptest::prelude::*;

fn credentials() -> Credentials {
    Credentials {
        user: Secret::new("us"),
        password: Secret::new("pwd"),
    }
}

/// Says `replies` all at once, then hangs up; returns the outcome, what was sent, and what was left unread.
async fn against<F>(replies: &[u8], handshake: F) -> (Result<(), Fault>, Vec<u8>, Vec<u8>)
where
    F: AsyncFnOnce(&mut tokio::io::DuplexStream) -> Result<(), Fault>,
{
    let (mut near, mut far) = tokio::io::duplex(64 * 1024);
    far.write_all(replies).await.unwrap();
    far.shutdown().await.unwrap();
    let result = handshake(&mut near).await;
    let mut unread = Vec::new();
    near.read_to_end(&mut unread).await.unwrap();
    drop(near);
    let mut sent = Vec::new();
    far.read_to_end(&mut sent).await.unwrap();
    (result, sent, unread)
}

#[tokio::test]
async fn socks4_sends_names_in_the_4a_form_and_addresses_as_such() {
    let granted = [0, 0x5a, 0, 0, 0, 0, 0, 0, b'!'];
    let (result, sent, unread) = against(&granted, async |io| {
        connect4(io, "a.test", 80, Some(&credentials())).await
    })
    .await;
    result.unwrap();
    assert_eq!(sent, b"\x04\x01\x00\x50\x00\x00\x00\x01us\0a.test\0");
    assert_eq!(unread, b"!", "what follows belongs to the target");

    let (result, sent, _) = against(&granted, async |io| {
        connect4(io, "192.0.2.7", 443, None).await
    })
    .await;
    result.unwrap();
    assert_eq!(sent, b"\x04\x01\x01\xbb\xc0\x00\x02\x07\0");

    let (result, sent, _) =
        against(&granted, async |io| connect4(io, "::1", 443, None).await).await;
    assert_eq!(result.unwrap_err().kind, FaultKind::Unsupported);
    assert!(sent.is_empty());
}

#[tokio::test]
async fn socks5_sends_the_name_and_reads_every_form_of_bound_address() {
    for bound in [
        &[1, 0, 0, 0, 0, 0, 0][..],
        &[3, 2, b'h', b'i', 0, 0],
        &[4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
    ] {
        let mut replies = vec![5, 0, 5, 0, 0];
        replies.extend(bound);
        replies.extend(b"early");
        let (result, sent, unread) =
            against(&replies, async |io| connect5(io, "a.test", 80, None).await).await;
        result.unwrap();
        assert_eq!(sent, b"\x05\x01\x00\x05\x01\x00\x03\x06a.test\x00\x50");
        assert_eq!(unread, b"early");
    }
}

#[tokio::test]
async fn socks5_authenticates_when_asked_to() {
    for version in [1, 5, 0] {
        let replies = [5, 2, version, 0, 5, 0, 0, 1, 0, 0, 0, 0, 0, 0];
        let (result, sent, _) = against(&replies, async |io| {
            connect5(io, "::1", 80, Some(&credentials())).await
        })
        .await;
        result.unwrap();
        assert!(
            sent.starts_with(b"\x05\x02\x02\x00\x01\x02us\x03pwd\x05\x01\x00\x04"),
            "{sent:?}"
        );
    }
}

#[tokio::test]
async fn refusals_carry_their_code_and_authentication_its_kind() {
    let five = async |replies: &'static [u8], with: bool| {
        let credentials = with.then(credentials);
        against(replies, async |io| {
            connect5(io, "a.test", 80, credentials.as_ref()).await
        })
        .await
        .0
        .unwrap_err()
    };
    assert_eq!(
        five(&[5, 0, 5, 2], false).await.kind,
        FaultKind::Rejected(2)
    );
    assert_eq!(five(&[5, 0xff], false).await.kind, FaultKind::Auth);
    assert_eq!(five(&[5, 0xff], true).await.kind, FaultKind::Auth);
    let refused = five(&[5, 2, 1, 1], true).await;
    assert_eq!(refused.kind, FaultKind::Auth);
    assert!(!refused.message.contains("pwd"));
    assert_eq!(five(&[5, 9], false).await.kind, FaultKind::Malformed);
    assert_eq!(five(&[5], false).await.kind, FaultKind::Closed);

    let (result, ..) = against(&[0, 0x5b], async |io| {
        connect4(io, "a.test", 80, None).await
    })
    .await;
    assert_eq!(result.unwrap_err().kind, FaultKind::Rejected(0x5b));
}

#[tokio::test]
async fn what_is_not_socks_is_malformed_and_named() {
    for (reply, word) in [
        (&b"HTTP/1.1 400 Bad Request\r\n"[..], "HTTP"),
        (b"SSH-2.0", "SSH"),
        (b"\x15\x03\x01", "TLS"),
        (b"\x00\x5b", "SOCKS4"),
        (b"?", "not SOCKS"),
    ] {
        let (result, ..) = against(reply, async |io| connect5(io, "a.test", 80, None).await).await;
        let fault = result.unwrap_err();
        assert_eq!(fault.kind, FaultKind::Malformed);
        assert!(fault.message.contains(word), "{fault}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]
    #[test]
    fn arbitrary_replies_never_panic_and_are_never_read_past_their_end(
        replies in proptest::collection::vec(prop_oneof![any::<u8>(), 0..6u8], 0..400),
        with_credentials: bool,
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let credentials = with_credentials.then(credentials);
        runtime.block_on(async {
            let (result, _, unread) =
                against(&replies, async |io| connect5(io, "a.test", 80, credentials.as_ref()).await).await;
            if result.is_ok() {
                // Greeting, authentication, the longest reply.
                assert!(replies.len() - unread.len() <= 2 + 2 + 5 + 255 + 2);
            }
            let (result, _, unread) =
                against(&replies, async |io| connect4(io, "a.test", 80, credentials.as_ref()).await).await;
            if result.is_ok() {
                assert_eq!(replies.len() - unread.len(), 8);
            }
        });
    }
}
