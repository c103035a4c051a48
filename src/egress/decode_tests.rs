use super::*;
use async_compression::tokio::bufread::{
    BrotliEncoder, DeflateEncoder, GzipEncoder, ZlibEncoder, ZstdEncoder,
};
use http::HeaderValue;
use proptest::prelude::*;
use tokio::io::AsyncReadExt;

fn encode(coding: &str, plain: &[u8]) -> Vec<u8> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    let mut reader: Box<dyn AsyncRead + Unpin> = match coding {
        "gzip" => Box::new(GzipEncoder::new(plain)),
        "br" => Box::new(BrotliEncoder::new(plain)),
        "zstd" => Box::new(ZstdEncoder::new(plain)),
        "deflate" => Box::new(ZlibEncoder::new(plain)),
        _ => Box::new(DeflateEncoder::new(plain)),
    };
    let mut encoded = Vec::new();
    runtime.block_on(reader.read_to_end(&mut encoded)).unwrap();
    encoded
}

fn decoder(encodings: &str) -> Decoder {
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_ENCODING, HeaderValue::from_str(encodings).unwrap());
    Decoder::for_headers(&headers, true).unwrap().unwrap()
}

fn decode(encodings: &str, encoded: &[u8], frame: usize) -> Result<Vec<u8>, Broken> {
    let mut decoder = decoder(encodings);
    let mut plain = Vec::new();
    for chunk in encoded.chunks(frame) {
        decoder.push(Bytes::copy_from_slice(chunk), |piece| {
            plain.extend_from_slice(piece);
            true
        })?;
    }
    decoder.finish(|piece| {
        plain.extend_from_slice(piece);
        true
    })?;
    Ok(plain)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn every_encoding_is_undone_however_the_frames_fall(
        plain in proptest::collection::vec(any::<u8>(), 1..30_000),
        repeat in 1..4usize,
        frame in 1..5000usize,
        coding in prop_oneof![Just("gzip"), Just("br"), Just("zstd"), Just("deflate"), Just("raw")],
    ) {
        let plain = plain.repeat(repeat);
        let encoded = encode(coding, &plain);
        let header = if coding == "raw" { "deflate" } else { coding };
        prop_assert_eq!(decode(header, &encoded, frame).unwrap(), plain);
    }

    #[test]
    fn arbitrary_bytes_never_panic(
        bytes in proptest::collection::vec(any::<u8>(), 0..600),
        coding in prop_oneof![Just("gzip"), Just("br"), Just("zstd"), Just("deflate"), Just("gzip, br")],
    ) {
        let _ = decode(coding, &bytes, 100);
    }
}

#[test]
fn output_that_fills_the_last_piece_exactly_is_whole() {
    for coding in ["gzip", "br", "zstd", "deflate"] {
        for size in [PIECE, PIECE * 2, PIECE * 4, PIECE * 4 - 1] {
            let plain = vec![b'a'; size];
            let encoded = encode(coding, &plain);
            for frame in [1, 7, encoded.len()] {
                assert_eq!(decode(coding, &encoded, frame).unwrap(), plain, "{coding}");
            }
        }
    }
}

#[test]
fn stacked_encodings_are_undone_in_reverse() {
    let once = encode("gzip", b"hello hello hello");
    let twice = encode("br", &once);
    assert_eq!(decode("gzip, br", &twice, 3).unwrap(), b"hello hello hello");
    assert_eq!(
        decode("identity, x-gzip", &once, 3).unwrap(),
        b"hello hello hello"
    );
}

#[test]
fn unknown_encodings_are_left_alone_and_towers_are_refused() {
    let mut headers = HeaderMap::new();
    assert!(Decoder::for_headers(&headers, true).unwrap().is_none());
    headers.insert(CONTENT_ENCODING, HeaderValue::from_static("utf-8"));
    assert!(Decoder::for_headers(&headers, true).unwrap().is_none());
    headers.insert(
        CONTENT_ENCODING,
        HeaderValue::from_static("gzip, gzip, gzip, gzip"),
    );
    assert!(Decoder::for_headers(&headers, true).is_err());
}

#[test]
fn transfer_encodings_are_undone_whether_or_not_the_content_is() {
    let decoder = |pairs: &[(HeaderName, &str)], content| {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(name, HeaderValue::from_str(value).unwrap());
        }
        let decoder = Decoder::for_headers(&headers, content)?;
        Ok(decoder.map_or_else(Vec::new, |decoder| decoder.codings))
    };
    let both = [
        (CONTENT_ENCODING, "br"),
        (TRANSFER_ENCODING, "gzip"),
        (TRANSFER_ENCODING, "Chunked"),
    ];
    assert_eq!(decoder(&both, true), Ok(vec![Coding::Brotli, Coding::Gzip]));
    assert_eq!(decoder(&both, false), Ok(vec![Coding::Gzip]));
    for (value, coding) in [
        ("chunked", None),
        ("identity", None),
        ("deflate, chunked", Some(Coding::Deflate)),
    ] {
        let found = decoder(&[(TRANSFER_ENCODING, value)], true);
        assert_eq!(found, Ok(Vec::from_iter(coding)), "{value}");
    }
    for (value, name) in [
        ("compress, chunked", "compress"),
        ("chunked, gzip", "chunked"),
    ] {
        let Broken(why) = decoder(&[(TRANSFER_ENCODING, value)], false).unwrap_err();
        assert_eq!(why, format!("transfer-encoding {name} cannot be undone"));
    }
}

#[test]
fn damage_and_an_early_end_are_complaints() {
    for coding in ["gzip", "br", "zstd", "deflate"] {
        let plain: Vec<u8> = (0..20_000u32).map(|n| ((n * 7919) >> 3) as u8).collect();
        let encoded = encode(coding, &plain);
        // More than a trailer.
        let cut = decode(coding, &encoded[..encoded.len() - 12], 1000).unwrap_err();
        assert!(cut.0.contains(coding), "{cut:?}");
    }
    let garbage = decode("gzip", b"<html>not gzip at all</html>", 10).unwrap_err();
    assert!(garbage.0.contains("broken"), "{garbage:?}");
    assert_eq!(decode("gzip", b"", 10).unwrap(), b"");
}

#[test]
fn what_follows_a_whole_stream_or_is_missing_there_takes_nothing_from_it() {
    let plain = b"hello hello hello";
    for (coding, trailer) in [("gzip", 8), ("deflate", 4)] {
        let encoded = encode(coding, plain);
        for rest in ["\r\n", "\0\0\0", "<!-- cached -->", "\x1f"] {
            let more = [&encoded, rest.as_bytes()].concat();
            assert_eq!(decode(coding, &more, 1).unwrap(), plain, "{rest:?}");
        }
        let bare = &encoded[..encoded.len() - trailer];
        assert_eq!(decode(coding, bare, 3).unwrap(), plain);
        let mut wrong = encoded.clone();
        wrong[bare.len()] ^= 1;
        let wrong = decode(coding, &wrong, 3).unwrap_err();
        assert!(wrong.0.contains("checksum"), "{wrong:?}");
    }
    let member = encode("gzip", plain);
    let two = [&member[..], &member].concat();
    assert_eq!(decode("gzip", &two, 5).unwrap(), plain.repeat(2));
    assert!(decode("gzip", &two[..member.len() + 3], 5).is_err());
    // With an extra field, a name and a checksum of the head.
    let named = [
        &member[..3],
        &[2 | 4 | 8],
        &member[4..10],
        b"\x02\0xxname\0cc",
    ]
    .concat();
    let named = [&named, &member[10..]].concat();
    assert_eq!(decode("gzip", &named, 1).unwrap(), plain);
}

#[test]
fn a_bomb_stops_where_the_taker_says() {
    let bomb = encode("gzip", &vec![0; 50_000_000]);
    let mut decoder = decoder("gzip");
    let mut taken = 0;
    decoder
        .push(Bytes::from(bomb), |piece| {
            taken += piece.len();
            taken < 100_000
        })
        .unwrap();
    assert!(taken < 100_000 + PIECE, "{taken}");
}
