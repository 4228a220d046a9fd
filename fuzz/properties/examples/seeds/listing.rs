//! Sequences of pages.

use atlas_model_keys_properties::generators::bytes::Writer;
use atlas_model_keys_properties::generators::listing;

use crate::byte;

/// Returns listings of keys and of groups with each of these sequences of pages.
pub(crate) fn listing_inputs() -> Vec<(String, Vec<u8>)> {
    // The codes of links are indices of `LINKS`: next, none, no `links`, previous, ...
    let [full, last, escaped] = [listing::FULL, listing::LINKS_LAST, listing::ESCAPED_NAME];
    let next = |keys: &[u8]| [&[0, byte(keys.len())], keys].concat();
    let end = |keys: &[u8]| [&[3, byte(keys.len())], keys].concat();
    let untold = |keys: &[u8]| [&[2, byte(keys.len())], keys].concat();
    // `totalCount` is written in the next byte.
    let counted = |links: u8, total: u8, keys: &[u8]| {
        [&[links | 1 << 3, byte(keys.len()), total], keys].concat()
    };
    let wrong = |links: u8, index: u8, keys: &[u8]| {
        [&[links | 3 << 3, byte(keys.len()), index], keys].concat()
    };
    type Sequence = (&'static str, u8, u8, u8, Vec<Vec<u8>>);
    let sequences: [Sequence; 21] = [
        (
            "distinct",
            0,
            0,
            0,
            vec![next(&[2, 3]), next(&[4, 5]), end(&[6])],
        ),
        (
            "shifted",
            0,
            0,
            0,
            vec![next(&[2, 3, 7]), next(&[7, 8, 9]), next(&[9, 2]), end(&[2])],
        ),
        (
            "equal-ends",
            0,
            0,
            0,
            vec![
                next(&[2, 6, 10, 14]),
                next(&[18, 22, 26, 30]),
                end(&[3, 7, 11, 15]),
            ],
        ),
        (
            "equal-beginnings",
            0,
            0,
            0,
            vec![next(&[4, 8, 12]), next(&[5, 9, 13]), end(&[36, 40])],
        ),
        (
            "prefix-of-the-other",
            0,
            0,
            0,
            vec![next(&[8]), next(&[9]), next(&[10]), end(&[4])],
        ),
        (
            "without-ids",
            0,
            0,
            0,
            vec![next(&[0, 1]), next(&[0, 1]), next(&[0, 2]), end(&[0, 2])],
        ),
        ("repeated", 0, 1, 0, vec![next(&[2, 3]), next(&[2, 3])]),
        (
            "repeated-in-another-order",
            0,
            1,
            0,
            vec![next(&[2, 3]), next(&[3, 2]), end(&[2])],
        ),
        (
            "repeated-with-other-texts",
            0,
            1,
            0,
            vec![next(&[6, 7]), next(&[70, 135]), next(&[2])],
        ),
        (
            "one-key-again",
            0,
            2,
            0,
            vec![next(&[2]), next(&[2]), next(&[2]), next(&[2]), next(&[3])],
        ),
        (
            "one-key-again-twice",
            0,
            2,
            0,
            vec![next(&[2]), next(&[2]), next(&[2]), end(&[3])],
        ),
        (
            "one-key-again-after-empty",
            0,
            2,
            0,
            vec![
                next(&[2]),
                next(&[]),
                next(&[2]),
                next(&[]),
                next(&[2]),
                end(&[2]),
            ],
        ),
        (
            "empty",
            0,
            0,
            0,
            vec![
                next(&[]),
                next(&[]),
                next(&[2]),
                next(&[]),
                next(&[]),
                next(&[]),
            ],
        ),
        (
            "empty-after-announced",
            0,
            0,
            0,
            vec![next(&[2]), end(&[]), end(&[3]), end(&[])],
        ),
        (
            "empty-after-announced-twice",
            0,
            0,
            0,
            vec![next(&[2]), end(&[]), end(&[])],
        ),
        (
            "without-links",
            2,
            2,
            0,
            vec![
                untold(&[2, 3]),
                counted(2, 30, &[4]),
                wrong(2, 2, &[5, 6]),
                untold(&[]),
            ],
        ),
        (
            "without-one-id-again",
            0,
            1,
            0,
            vec![next(&[2, 3, 0]), next(&[2, 3]), next(&[0, 2, 3]), end(&[2])],
        ),
        (
            "total-reached",
            0,
            0,
            0,
            vec![counted(0, 2, &[2, 3]), counted(0, 2, &[4, 5]), end(&[6])],
        ),
        (
            "counts",
            4,
            1,
            0,
            vec![
                counted(0, 5, &[2, 3]),
                counted(0, 0, &[4, 5]),
                wrong(0, 4, &[6, 7]),
                counted(4, 11, &[8]),
                counted(5, 10, &[9]),
            ],
        ),
        ("limit", 2, 0, 2, vec![next(&[2]), next(&[3]), next(&[4])]),
        (
            "last-number",
            2,
            3,
            0,
            vec![next(&[2]), next(&[3]), next(&[4])],
        ),
    ];
    let layouts = vec![
        vec![last, 2, 2, 3],
        vec![last, 2, 2, 3],
        vec![escaped, 1, 4],
        vec![escaped, 1, 4],
    ];
    let pages = vec![
        vec![2, full, 10],
        vec![2, full, 60],
        vec![2, full, 160],
        vec![2, 1, 2],
    ];
    let more = [
        ("layouts", 0, 0, 0, layouts),
        ("full", 0, 0, 0, pages.clone()),
        ("full-pages-of-three", 6, 0, 0, pages),
    ];
    // Each kind of links, on a page whose `totalCount` says that there are more keys, and on an empty one.
    let with_links = (0..byte(listing::LINKS.len())).map(|links| {
        let pages = [
            next(&[2]),
            counted(links, 9, &[3]),
            next(&[4]),
            counted(links, 9, &[]),
            end(&[5]),
        ];
        let head = Writer::default().byte(0).byte(0).byte(0);
        (format!("links-{links}"), head.rest(pages.concat()).0)
    });
    let all = sequences.into_iter().chain(more);
    all.flat_map(|(name, flags, first, limit, pages)| {
        ["", "-groups"]
            .into_iter()
            .zip(0..)
            .map(move |(kind, groups)| {
                let head = Writer::default()
                    .byte(flags | groups)
                    .byte(first)
                    .byte(limit);
                (format!("{name}{kind}"), head.rest(pages.concat()).0)
            })
    })
    .chain(with_links)
    .collect()
}
