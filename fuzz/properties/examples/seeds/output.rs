//! Texts and bodies for the output of the command.

use atlas_model_keys_properties::generators::bytes::Writer;

/// The byte between two texts of an input.
const SEPARATOR: u8 = b'|';

/// Texts that begin like a formula or not, with characters that are unsafe to show or not, and of several widths.
const TEXTS: [(&str, u8, &str); 12] = [
    (
        "formulas",
        80,
        "=SUM(A1)|+1|-1|@x|\tx|\rx|\nx|\u{ff1d}x|\u{ff0b}x|\u{ff0d}x|\u{ff20}x",
    ),
    (
        "no-formulas",
        80,
        "a=b|'=x||al-****odu2| =x|\u{200b}=x|\u{ad}-x|#x|\"=x\"",
    ),
    ("one-empty-text", 0, ""),
    ("quotes", 10, "a \"quoted\" one, 1|\",\"|,|\"|''|;"),
    (
        "controls",
        20,
        "a\u{1b}[31m\nb\r\nc|\u{0}\u{7}\u{8}\u{b}\u{c}|\u{7f}\u{80}\u{85}\u{9f}\u{a0}|two\n\nlines\n",
    ),
    (
        "bidirectional",
        20,
        "\u{61c}|\u{200e}\u{200f}|\u{202a}a\u{202e}b\u{202c}|\u{2066}a\u{2069}|\u{2028}\u{2029}",
    ),
    (
        "invisible",
        20,
        "\u{ad}|\u{34f}|\u{115f}\u{1160}|\u{17b4}|\u{180e}|\u{200b}|\u{2060}\u{2065}\u{206f}|\u{3164}|\u{feff}|\u{ffa0}|\u{fff0}\u{fff9}|\u{1bca0}|\u{1d173}|\u{e0000}\u{e0041}\u{e007f}|\u{e01f0}",
    ),
    (
        "kept",
        20,
        "می\u{200c}شود|👩\u{200d}💻|❤\u{fe0f}|葛\u{e0100}|\u{1820}\u{180b}|\u{600}1|\u{fffd}",
    ),
    (
        "escapes",
        80,
        "\\u{1b}|\\u001b|\\\\|\\\"|\\n|\u{10ffff}|\u{1f511}|\u{e000}",
    ),
    ("wide", 6, "検索用キー|鍵|🔑 rocket|ab鍵cd鍵|ｆｕｌｌ"),
    (
        "combining",
        2,
        "e\u{301}e\u{301}e\u{301}|\u{301}\u{301}abc|é|ab|abc",
    ),
    ("no-room", 0, "a|鍵|\u{301}|"),
];

/// Bodies of pages: with secrets at any depth, names with escapes, and characters that are unsafe to show.
const BODIES: [(&str, &str); 10] = [
    (
        "page",
        "{\"results\":[{\"name\":\"a\u{202e}\",\"secret\":\"al-hunter2\",\"status\":\"ACTIVE\"}],\"totalCount\":1}",
    ),
    ("white-space", "{\r\n\t\"a\" : [ 1 , \"\u{7f}\" ]\r\n}\r\n"),
    (
        "secrets",
        r#"{"secret":{"a":[1,-2.5e3,true,null,"x"],"b":{"secret":0}},"c":"secret","d":["secret","x"]}"#,
    ),
    (
        "secret-with-escapes",
        r#"[{"s\u0065cret":"a\"b\\","x":"\""},{"\u0073ecret" : "\u0041"},{"secret ":"y"}]"#,
    ),
    (
        "secret-twice",
        r#"{"secret":"a","secret":["b"],"Secret":"c","a":{"secret":{"x":"y"},"z":"w"},"v":7}"#,
    ),
    (
        "secret-with-members",
        r#"{"secret":{"a":"x","b":"y","c":[1,22,{"d":3,"e":"z"}]},"f":"g"}"#,
    ),
    ("secret-as-a-text", r#""secret""#),
    (
        "secret-of-numbers",
        r#"{"secret":[10,0.05,1E-05,1e400,-0],"n":10}"#,
    ),
    ("no-json", "{\"secret\":\"a\\"),
    ("open", "{\"secret\":[\"a\",{\"b\":\"\u{feff}"),
];

pub(crate) fn output_inputs() -> Vec<(&'static str, Vec<u8>)> {
    let input = |room, bytes: &[u8]| Writer::default().byte(room).byte(SEPARATOR).rest(bytes).0;
    let texts = TEXTS.map(|(name, room, text)| (name, input(room, text.as_bytes())));
    let bodies = BODIES.map(|(name, body)| (name, input(40, body.as_bytes())));
    let invalid = (
        "invalid-utf-8",
        input(9, b"{\"secret\":\"\xff\xfe\",\"a\":\"\xe2\x80\"}"),
    );
    texts.into_iter().chain(bodies).chain([invalid]).collect()
}
