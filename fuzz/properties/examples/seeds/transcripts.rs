//! The responses in the core's transcripts.

/// A response of a transcript.
pub(crate) struct Response {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: String,
}

/// Parses the lines of a response: status, headers, and a body after an empty line.
pub(crate) fn response(lines: &[&str]) -> Response {
    let mut lines = lines
        .iter()
        .filter_map(|line| line.strip_prefix('<'))
        .map(|line| line.strip_prefix(' ').unwrap_or(line));
    let status = lines.next().and_then(|status| status.get(..3));
    let status = status.and_then(|status| status.parse().ok());
    let headers = lines.by_ref().take_while(|line| !line.is_empty());
    Response {
        status: status.expect("a status"),
        headers: headers
            .map(|line| line.split_once(": ").expect("a header"))
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect(),
        body: lines.collect::<Vec<_>>().join("\n"),
    }
}

/// Returns the lines of a transcript. The lines of a response are together.
pub(crate) fn blocks<'l, 't>(lines: &'l [&'t str]) -> impl Iterator<Item = &'l [&'t str]> {
    lines.chunk_by(|a, b| a.starts_with('<') && b.starts_with('<'))
}

pub(crate) fn responses(transcript: &str) -> Vec<Response> {
    let lines: Vec<&str> = transcript.lines().collect();
    blocks(&lines)
        .filter(|block| block[0].starts_with('<'))
        .map(response)
        .collect()
}

pub(crate) fn stream(response: &Response) -> Vec<u8> {
    let mut head = format!("HTTP/1.1 {} X\r\n", response.status);
    for (name, value) in &response.headers {
        head += &format!("{name}: {value}\r\n");
    }
    head += "Transfer-Encoding: chunked\r\n\r\n";
    if !response.body.is_empty() {
        head += &format!("{:x}\r\n{}\r\n", response.body.len(), response.body);
    }
    (head + "0\r\n\r\n").into_bytes()
}
