//! A response with a token leaves no copy in the memory of this process.
#![cfg(target_os = "linux")]

use std::fs::{File, read_to_string};
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::net::{TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

use atlas_model_keys_ureq::{
    BaseUrl, CancelHandle, Client, Credentials, Error, Limits, ListRequest, RetryPolicy,
};

/// A text to search for, as its characters at odd and at even places, because the whole text would find itself.
type Halves = (&'static str, &'static str);

const IN_TOKEN: Halves = ("Ks7Qp2Zt9Xw4", "mB3vN8cR1yF6");
const IN_BROKEN_TOKEN: Halves = ("Lt8Rq3Au0Yx5", "nC4wO9dS2zG7");
const IN_LATE_TOKEN: Halves = ("Nv0Ts5Cw2Az7", "pE6yQ1fU4bI9");
const IN_PAGE: Halves = ("Mu9Sr4Bv1Zy6", "oD5xP0eT3aH8");

fn push(to: &mut Vec<u8>, (odd, even): Halves) {
    to.extend(odd.bytes().zip(even.bytes()).flat_map(|(a, b)| [a, b]));
}

/// Searches the memory piece by piece, with one buffer that is cleared at the end.
fn memory_holds((odd, even): Halves) -> bool {
    const PIECE: usize = 1 << 20;
    let length = 2 * odd.len();
    let maps = read_to_string("/proc/self/maps").unwrap();
    let mut memory = File::open("/proc/self/mem").unwrap();
    let mut buffer = vec![0; PIECE + length];
    let mut found = false;
    for line in maps.lines().filter(|line| line.contains(" rw")) {
        let (range, _) = line.split_once(' ').unwrap();
        let (start, end) = range.split_once('-').unwrap();
        let [start, end] = [start, end].map(|n| u64::from_str_radix(n, 16).unwrap());
        for place in (start..end).step_by(PIECE) {
            let size = usize::try_from(end - place).unwrap().min(buffer.len());
            memory.seek(SeekFrom::Start(place)).unwrap();
            let Some(piece) = buffer.get_mut(..size) else {
                unreachable!();
            };
            // Some pages cannot be read, or are given back by another thread meanwhile.
            let mut filled = 0;
            while let Ok(read @ 1..) = memory.read(&mut piece[filled..]) {
                filled += read;
            }
            let piece = &piece[..filled];
            found |= memchr::memchr_iter(odd.as_bytes()[0], piece).any(|start| {
                let (pairs, _) = piece[start..].as_chunks::<2>();
                let text = odd.bytes().zip(even.bytes()).map(|(odd, even)| [odd, even]);
                pairs.iter().copied().take(odd.len()).eq(text)
            });
        }
    }
    buffer.fill(0);
    found
}

/// How a server sends a token.
#[derive(Clone, Copy, PartialEq)]
enum Delivery {
    Whole,
    /// The connection ends before the body.
    Broken,
    /// After the time in which the call is cancelled.
    Late,
}

/// The time of a late delivery, and that in which it certainly has arrived.
const LATE: Duration = Duration::from_millis(100);
const ARRIVED: Duration = Duration::from_millis(500);

fn serve(mut stream: TcpStream, delivery: Delivery) -> std::io::Result<()> {
    loop {
        let mut head = Vec::new();
        let mut byte = [0];
        while !head.ends_with(b"\r\n\r\n") {
            stream.read_exact(&mut byte)?;
            head.extend(byte);
        }
        // The body is never reallocated, so that the server leaves no other copy.
        let mut body = Vec::with_capacity(4096);
        if head.starts_with(b"POST ") {
            let head = String::from_utf8_lossy(&head).to_lowercase();
            let (_, length) = head.split_once("content-length: ").unwrap();
            let (length, _) = length.split_once("\r\n").unwrap();
            stream.read_exact(&mut vec![0; length.parse().unwrap()])?;
            body.extend_from_slice(br#"{"access_token":"t","expires_in":3600,"unknown":""#);
            let text = match delivery {
                Delivery::Whole => IN_TOKEN,
                Delivery::Broken => IN_BROKEN_TOKEN,
                Delivery::Late => IN_LATE_TOKEN,
            };
            push(&mut body, text);
            body.extend_from_slice(br#""}"#);
        } else {
            body.extend_from_slice(br#"{"results":[],"unknown":""#);
            push(&mut body, IN_PAGE);
            body.extend_from_slice(br#""}"#);
        }
        if delivery == Delivery::Late {
            thread::sleep(LATE);
        }
        let is_broken = delivery == Delivery::Broken;
        let promised = body.len() + usize::from(is_broken);
        let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {promised}\r\n\r\n");
        stream.write_all(head.as_bytes())?;
        stream.write_all(&body)?;
        body.fill(0);
        if is_broken {
            return Ok(());
        }
    }
}

fn client(delivery: Delivery) -> Client {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            thread::spawn(move || serve(stream, delivery));
        }
    });
    let account = Credentials::service_account("mdb_sa_id_1", "mdb_sa_sk_1").unwrap();
    let mut limits = Limits::default();
    limits.retry = RetryPolicy::never();
    let base = BaseUrl::new(&base).unwrap();
    Client::builder(base, account)
        .limits(limits)
        .build()
        .unwrap()
}

#[test]
fn response_with_a_token_leaves_no_copy_in_memory() {
    let request = ListRequest::new("0123456789abcdef01234567".parse().unwrap());
    // The connections stay open and keep their buffers.
    let (whole, broken) = (client(Delivery::Whole), client(Delivery::Broken));
    let reply = whole.reply(&request).unwrap();
    let error = broken.reply(&request).unwrap_err();
    assert!(matches!(error, Error::Transport { .. }), "{error:?}");
    // A token that arrives after its call was cancelled.
    let handle = CancelHandle::new();
    let late = client(Delivery::Late).with_cancel_handle(&handle);
    thread::scope(|scope| {
        scope.spawn(|| {
            thread::sleep(LATE / 2);
            handle.cancel();
        });
        assert!(late.reply(&request).is_err());
    });
    thread::sleep(ARRIVED);
    assert!(!memory_holds(IN_TOKEN));
    assert!(!memory_holds(IN_BROKEN_TOKEN));
    assert!(!memory_holds(IN_LATE_TOKEN));
    // A body without a token is found, so the search works.
    assert!(memory_holds(IN_PAGE));
    drop(reply);
}
