//! Texts with secrets in each encoding.

use atlas_model_keys_properties::generators::bytes::Writer;
use atlas_model_keys_properties::targets::redaction;

use crate::{byte, index_of};

pub(crate) fn redaction_inputs() -> Vec<(String, Vec<u8>)> {
    let code = |code| index_of(&redaction::PIECE_CODES, &code);
    let text =
        |writer: Writer, text: &str| writer.byte(code(redaction::PieceCode::Text)).short(text);
    // The parts are the secret, the start, the additional length, and whether a text follows.
    let run = |writer: Writer, parts: [u8; 4], encodings: &[u8]| {
        let writer = writer.byte(code(redaction::PieceCode::Run));
        parts
            .into_iter()
            .fold(writer, Writer::byte)
            .short(encodings)
    };
    let secrets = [
        "eyJhbGci.Zr8Xq2/Lm9Vb+Kt4W~1",
        "mdb_sa_sk_hunter3/+%x\"tail",
        "01234567-89ab-cdef-0123-456789abcdef",
        "zq7-!#$&'()*,:;<=>?@[\\]^_`{|}",
        "short",
    ];
    let mut seeds = Vec::new();
    for (n, secret) in secrets.into_iter().enumerate() {
        let begin = |flags: u8| Writer::default().byte(byte(n)).byte(flags).short(secret);
        for encoding in 0..redaction::ENCODINGS.len() {
            let status = byte(2 * (encoding % redaction::STATUSES.len()));
            let begun = text(begin(status), "token <");
            let whole = run(begun, [0, 0, 255, 1], &[byte(encoding)]);
            let whole = text(whole, "> is \u{e9} bad, not ");
            let part = run(whole, [0, 3, 2, 0], &[0, byte(encoding), 1, 0, 4]);
            seeds.push((format!("secret-{n}-{encoding}"), part.0));
        }
        let chain = text(begin(0), "cable pulled").byte(code(redaction::PieceCode::Source));
        let chain = run(text(chain, "GOAWAY "), [1, 0, 0, 1], &[0])
            .byte(code(redaction::PieceCode::Source));
        seeds.push((format!("chain-{n}"), text(chain, "\x1b[31mon port 443").0));
        // The limit is within the secret or within its escapes.
        for before in [20, 30, 39, 42] {
            let cut = text(
                begin(redaction::SMALL_TEXT_LIMIT),
                &format!("\u{1}{}", "x".repeat(before - 5)),
            );
            let cut = run(cut, [0, 0, 255, 1], &[0]);
            seeds.push((format!("cut-{n}-{before}"), cut.0));
        }
        // Encoded in unusual ways, and next to each character that ends a word.
        let encoded = |encode: fn(u32) -> String| -> String {
            secret
                .chars()
                .take(16)
                .map(|c| encode(u32::from(c)))
                .collect()
        };
        for (name, shown) in [
            ("capital", encoded(|c| format!("&#X{c:X}"))),
            ("four-times", encoded(|c| format!("%252525{c:02x}"))),
            ("five-times", encoded(|c| format!("%25252525{c:02x}"))),
            ("hexadecimal", encoded(|c| format!("\\x{c:02x}"))),
            (
                "escapes",
                format!(
                    "{secret}\\ud83d\\ude00\\ud83dx\\ud800\\u0041\\ud83d\\u12\\u{{1f600}}\\u{{d800}}\\u{{1234567}}\\u{{a\\x4\\xff\\r\\t\\b\\f\\q&#x;&#xd800;&#99999999999;&#65;&#"
                ),
            ),
            // The run until the line break, which is found undecoded, begins after that of the whole secret.
            (
                "one-line-break",
                format!(
                    "%{:02x}{}\n  {} and on",
                    secret.as_bytes()[0],
                    &secret[1..secret.len().min(18)],
                    &secret[secret.len().min(18)..]
                ),
            ),
            ("touching", secret[secret.len().min(8)..].repeat(4)),
            ("backtick", format!("<{secret}`a` {secret}")),
            ("apostrophe", format!("'{secret}'a {secret}\u{3000}b")),
            (
                "unsafe",
                format!("\u{7f}{secret}\u{85}\u{202e} \u{ad}\u{7f}\u{80}\u{feff}"),
            ),
        ] {
            seeds.push((format!("{name}-{n}"), text(begin(0), &shown).0));
        }
        // Each source contains less than a run of the secret.
        let (beginning, end) = (&secret[..secret.len().min(11)], &secret[secret.len() / 2..]);
        let none = text(
            begin(0),
            &format!("%41&lt;\\u0041 {} no secret", &beginning[1..]),
        );
        let none = none.byte(code(redaction::PieceCode::Source));
        let none = text(
            none,
            &format!("\"only\" a text{}", &end[..end.len().min(11)]),
        );
        seeds.push((format!("none-{n}"), none.0));
    }
    // The end of an escape is replaced or cut: what is left is another character, and completes a run.
    let (token, small) = ("aaaaaaaaaaa+000000000000", redaction::SMALL_TEXT_LIMIT);
    let escape = "aaaaaaaaaaa&#x2B";
    let chain = |count: usize| format!("see {}000000000000 here", escape.repeat(count));
    let cut = |before: usize| format!("{} {escape}0000 here", "x".repeat(before));
    for (name, flags, shown) in [
        ("completed-once", 0, chain(1)),
        ("completed-six-times", 0, chain(6)),
        ("completed-seven-times", 0, chain(7)),
        ("completed-later", 0, format!("000000000000 {}", chain(1))),
        ("completed-by-the-cut", small, cut(23)),
        ("not-completed-by-the-cut", small, cut(24)),
        (
            "completed-before-the-cut",
            small,
            format!("{} 000000000000", cut(16)),
        ),
    ] {
        let seed = Writer::default().byte(0).byte(flags).short(token);
        seeds.push((name.to_owned(), text(seed, &shown).0));
    }
    seeds
}
