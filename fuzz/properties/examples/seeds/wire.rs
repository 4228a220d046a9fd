//! Streams for the HTTP parser.

use atlas_model_keys_properties::generators::bytes::Writer;

pub(crate) fn wire_input(stream: &[u8]) -> Vec<u8> {
    Writer::default().byte(0).byte(0).number(7).rest(stream).0
}

pub(crate) const STREAMS: [&str; 27] = [
    "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: keep-alive\r\n\r\nhelloHTTP/1.1 200",
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5;a=\"b\"\r\nhello\r\nA \t; c\r\n0123456789\r\n0\r\nX: y\r\n\r\n",
    "HTTP/1.0 200 OK\r\nConnection: Keep-Alive\r\n\r\nuntil the end",
    "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n",
    "HTTP/1.1 304\r\nContent-Length: 10\r\n\r\n",
    "HTTP/1.1 200 \r\nX-Folded: a\r\n b\r\n\tc\r\nContent-Length: 2, 2\r\n\r\nok",
    "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n",
    "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "HTTP/1.1 200 OK\nContent-Length: 0\n\n",
    "\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
    "HTTP/1.1 200 OK\r\nName : x\r\nContent-Length: +1\r\n\r\n",
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n+1\r\nx\r\n0\r\n\r\n",
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n00000000000000001\r\nx\r\n0\r\n\r\n",
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1 x;a\r\nx\r\n0\r\n\r\n",
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1;a\x7f\r\nx\r\n0\r\n\r\n",
    "HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\nConnection: a, close\r\n\r\n",
    "HTTP/1.1 500 X\r\nContent-Length: 99999999999\r\n\r\nhello, this is an error with a long body",
    "HTTP/1.1 206 X\r\nTransfer-Encoding: chunked\r\n\r\n6\r\nhello,\r\n2a\r\nthis is a part of a page with a long body, and so on\r\n0\r\n\r\n",
    "HTTP/1.1 999 X\r\n\r\nhello, this is an error with a long body",
    "HTTP/1.1 404 X\r\nContent-Length: 6\r\n\r\nhello,HTTP/1.1 200",
    "",
    "HTTP/2 200 OK\r\n\r\n",
    "HTTP/1.1 099 X\r\n\r\n",
    "HTTP/1.1 200 a\u{1}b\r\n\r\n",
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n",
    "HTTP/1.1 200 OK\r\nX: \u{1}\r\nContent-Length: ,\r\n\r\n",
];
