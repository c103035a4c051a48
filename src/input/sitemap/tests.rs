use std::io::{self, Cursor, Read, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use flate2::Compression;
use flate2::write::GzEncoder;
use proptest::prelude::*;
use tokio::sync::mpsc::channel;

use super::super::reader::{LOOK_AHEAD, Parcel};
use super::scan::{End, Entry, MOST_BYTES, scan};
use super::{ROWS, Sitemap};

fn entries(bytes: &[u8]) -> (Vec<Entry>, End) {
    let mut found = Vec::new();
    let (end, _) = scan(bytes, false, &mut |entry| {
        found.push(entry);
        Ok(())
    })
    .expect("memory can be read");
    (found, end)
}

fn urls(bytes: &[u8]) -> Vec<String> {
    entries(bytes)
        .0
        .into_iter()
        .map(|entry| entry.url)
        .collect()
}

fn packed(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

const URLSET: &str = r#"<?xml version="1.0" encoding="UTF-8"?>
<!DOCTYPE urlset [ <!ENTITY a "<url><loc>http://a.test/not</loc></url>"> ]>
<urlset xmlns="http://www.sitemaps.org/schemas/sitemap/0.9" xmlns:image="http://www.google.com/schemas/sitemap-image/1.1">
  <!-- <url><loc>http://a.test/not</loc></url> -->
  <url><loc> http://a.test/1?a=1&amp;b=2 </loc><lastmod>2026-11-01</lastmod></url>
  <url>
    <image:image><image:loc>http://a.test/not.jpg</image:loc></image:image>
    <xhtml:link rel="alternate" hreflang="de" href="http://a.test/not"/>
    <loc><![CDATA[http://a.test/2?a&b]]></loc><changefreq>daily</changefreq>
  </url>
  <url><image:loc>http://a.test/not.jpg</image:loc><lastmod>never</lastmod><loc>http://a.test/&#x33;</loc>
  <url><loc attribute="a>b">http://a.test/4</loc></url><url/><url><loc></loc></url>
</urlset>"#;

#[test]
fn a_urlset_lists_the_pages_of_its_entries_and_nothing_of_its_extensions() {
    let (found, end) = entries(URLSET.as_bytes());
    let urls: Vec<&str> = found.iter().map(|entry| &*entry.url).collect();
    let all = ["1?a=1&b=2", "2?a&b", "3", "4"].map(|path| format!("http://a.test/{path}"));
    assert_eq!(urls, all);
    assert_eq!(end, End::Whole);
    assert_eq!(found[0].changed, Some(1_793_577_599));
    assert_eq!(found[2].changed, None);
    assert!(found.iter().all(|entry| !entry.is_sitemap));
}

#[test]
fn the_same_comes_out_of_it_however_it_is_written_and_packed() {
    let plain = urls(URLSET.as_bytes());
    let with_prefix = URLSET
        .replace("<url", "<sm:url")
        .replace("</url", "</sm:url")
        .replace("<loc", "<sm:loc")
        .replace("</loc", "</sm:loc")
        .replace("<lastmod", "<sm:lastmod")
        .replace("</lastmod", "</sm:lastmod");
    let mut little = vec![0xff, 0xfe];
    little.extend(URLSET.encode_utf16().flat_map(u16::to_le_bytes));
    let big: Vec<u8> = URLSET.encode_utf16().flat_map(u16::to_be_bytes).collect();
    for (name, bytes) in [
        ("prefix", with_prefix.into_bytes()),
        (
            "mark and blanks",
            format!("\u{feff}\n \n{URLSET}").into_bytes(),
        ),
        ("one line", URLSET.replace('\n', " ").into_bytes()),
        ("gzip", packed(URLSET.as_bytes())),
        ("UTF-16", little.clone()),
        ("UTF-16 without a mark", big),
        ("UTF-16 in gzip", packed(&little)),
        (
            "a wrong label",
            URLSET.replace("UTF-8", "UTF-16").into_bytes(),
        ),
    ] {
        assert_eq!(urls(&bytes), plain, "{name}");
        assert_eq!(entries(&bytes).1, End::Whole, "{name}");
    }
}

#[test]
fn what_is_not_utf_8_is_what_the_file_says_or_what_most_are() {
    let latin = b"<urlset><url><loc>http://a.test/caf\xe9</loc></url></urlset>".to_vec();
    let mut greek = b"<?xml version='1.0' encoding='ISO-8859-7'?>".to_vec();
    greek.extend_from_slice(&latin);
    assert_eq!(urls(&latin), ["http://a.test/caf\u{e9}"]);
    assert_eq!(urls(&greek), ["http://a.test/caf\u{3b9}"]);
}

#[test]
fn indexes_feeds_and_lists_are_known_by_their_content() {
    let (found, _) =
        entries(b"<sitemapindex><sitemap><loc>http://a.test/s.xml</loc></sitemap></sitemapindex>");
    assert!(found[0].is_sitemap);
    let rss = "<rss><channel><link>http://a.test/not</link><item><title>x</title><link>http://a.test/1</link>\
        <pubDate>Sun, 01 Nov 2026 10:00:00 GMT</pubDate></item></channel></rss>";
    assert_eq!(entries(rss.as_bytes()).0[0].changed, Some(1_793_527_200));
    assert_eq!(urls(rss.as_bytes()), ["http://a.test/1"]);
    let atom = "<feed xmlns='http://www.w3.org/2005/Atom'><link href='http://a.test/not'/><entry>\
        <link rel='self' href='http://a.test/not'/><link href='http://a.test/1?a&amp;b'/><updated>2026-11-01T10:00:00Z</updated>\
        </entry></feed>";
    assert_eq!(entries(atom.as_bytes()).0[0].changed, Some(1_793_527_200));
    assert_eq!(urls(atom.as_bytes()), ["http://a.test/1?a&b"]);
    assert_eq!(
        urls(b"\r\nhttp://a.test/1\r\n\r\nhttp://a.test/2"),
        ["http://a.test/1", "http://a.test/2"]
    );
    for foreign in [
        "<!doctype html><html><body><url><loc>http://a.test/not</loc></url></body></html>",
        "Not found",
        "<",
    ] {
        assert_eq!(
            entries(foreign.as_bytes()),
            (Vec::new(), End::Foreign),
            "{foreign}"
        );
    }
    assert_eq!(entries(b""), (Vec::new(), End::Whole));
}

#[test]
fn what_is_cut_gives_its_whole_entries_and_says_so() {
    let cut = &URLSET[..URLSET.len() - 70];
    assert_eq!(entries(cut.as_bytes()).1, End::Cut);
    let empty = entries(
        b"<?xml version='1.0'?><urlset xmlns='http://www.sitemaps.org/schemas/sitemap/0.9'/>",
    );
    assert_eq!((empty.0.len(), empty.1), (0, End::Whole));
    assert_eq!(urls(cut.as_bytes()), urls(URLSET.as_bytes())[..3]);
    let inside = "<urlset><url><loc>http://a.test/1</loc></url><url><loc>http://a.test/long-na";
    assert_eq!(urls(inside.as_bytes()), ["http://a.test/1"]);
    let mut broken = packed(URLSET.as_bytes());
    broken.truncate(broken.len() - 12);
    assert_eq!(entries(&broken).1, End::Cut);
    let mut damaged = packed(URLSET.as_bytes());
    damaged[40] ^= 0xff;
    assert_eq!(entries(&damaged).1, End::Cut);
}

#[test]
fn a_bomb_is_read_to_the_bound_and_no_further() {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder
        .write_all(b"<urlset><url><loc>http://a.test/1</loc></url>")
        .unwrap();
    let zeros = vec![b' '; 1 << 20];
    for _ in 0..(MOST_BYTES >> 20) + 8 {
        encoder.write_all(&zeros).unwrap();
    }
    let bomb = encoder.finish().unwrap();
    assert!(bomb.len() < 2 << 20);
    assert_eq!(entries(&bomb).1, End::TooLong);
    assert_eq!(urls(&bomb), ["http://a.test/1"]);
}

proptest! {
    #[test]
    fn no_bytes_upset_it(bytes in prop::collection::vec(any::<u8>(), 0..3000)) {
        entries(&bytes);
    }

    #[test]
    fn nothing_that_looks_like_a_sitemap_upsets_it(
        text in "(<urlset>|<rss>|<feed>)?(</?(url|loc|sitemap|item|link|entry|lastmod|a:loc)( href=['\"]?x['\"]?)?/?>|<!--|-->|<!\\[CDATA\\[|\\]\\]>|<\\?|\\?>|&amp;|&#1;|<|>|\\[|http://a\\.test/| |\u{e9})*",
    ) {
        entries(text.as_bytes());
        let utf16: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
        entries(&utf16);
    }

    #[test]
    fn every_page_comes_out_once_and_in_order(paths in prop::collection::vec("[a-z&<>'\"\u{e9}\u{1f600}]{1,9}", 0..40)) {
        let escaped = |path: &str| path.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
        let list: String = paths.iter().map(|path| format!("<url><loc>http://a.test/{}</loc></url>", escaped(path))).collect();
        let file = format!("<urlset>{list}</urlset>");
        let all: Vec<String> = paths.iter().map(|path| format!("http://a.test/{path}")).collect();
        prop_assert_eq!(urls(file.as_bytes()), all.clone());
        let utf16: Vec<u8> = format!("\u{feff}{file}").encode_utf16().flat_map(u16::to_be_bytes).collect();
        prop_assert_eq!(urls(&utf16), all);
    }
}

/// As many entries as anybody wants, and how many bytes of them have been asked for.
struct Long {
    entry: Vec<u8>,
    left: usize,
    read: Arc<AtomicUsize>,
}

impl Read for Long {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let count = into.len().min(self.entry.len()).min(self.left);
        into[..count].copy_from_slice(&self.entry[..count]);
        self.entry.rotate_left(count);
        self.left -= count;
        self.read.fetch_add(count, Ordering::Relaxed);
        Ok(count)
    }
}

#[test]
fn pages_are_cut_no_faster_than_they_are_taken() {
    let entry = b"<url><loc>http://a.test/page</loc></url>".to_vec();
    let size = entry.len();
    let read = Arc::new(AtomicUsize::new(0));
    let long = Long {
        entry,
        left: 20_000 * size,
        read: read.clone(),
    };
    let (sender, mut receiver) = channel(LOOK_AHEAD);
    let input = Cursor::new("<urlset>").chain(long);
    let mut sitemap = Sitemap::of_file(Box::new(input), "here".to_owned(), None, sender);
    let thread = std::thread::spawn(move || sitemap.read());
    let mut rows = 0;
    while let Some(parcel) = receiver.blocking_recv() {
        let Parcel::Rows(block) = parcel else {
            panic!("nothing else is listed");
        };
        rows += block.len();
        // What waits, what is on its way, what is being made, and the buffers below.
        let ahead = (LOOK_AHEAD + 3) * ROWS * size + 64 * 1024;
        let read = read.load(Ordering::Relaxed);
        assert!(read <= rows * size + ahead, "{read} bytes for {rows} rows");
    }
    thread.join().expect("no panic").expect("no failure");
    // And one that says that the list has no end.
    assert_eq!(rows, 20_000 + 1);
}
