//! Changes inputs of the target `session` by whole actions and dialogues, for engines that accept a mutator.

use arbitrary::Unstructured;

use super::bytes::Writer;
use super::session::{
    ACTION_CODES, Action, ActionCode, BODY_TYPES, BodyType, CHOSEN_LIMITS, ENVELOPE, HEADERS, Head,
    LIMITS, MOST_ACTIONS, OPERATION_SHIFT, OPERATIONS, OTHER_GROUP, STATUSES, TOKEN_LIFETIMES,
};

/// An input whose actions can be moved.
#[derive(Clone, Debug, PartialEq)]
struct Scenario {
    /// Everything before the first action.
    head: Vec<u8>,
    actions: Vec<Vec<u8>>,
    /// The bytes after the last complete action. They stay at the end, because a truncated action would swallow those behind it.
    tail: Vec<u8>,
}

impl Scenario {
    fn parse(bytes: &[u8]) -> Option<Self> {
        let mut u = Unstructured::new(bytes);
        Head::read(&mut u).ok()?;
        let (head, mut rest) = bytes.split_at(bytes.len() - u.len());
        let mut actions = Vec::new();
        while !rest.is_empty() && actions.len() < MOST_ACTIONS {
            let mut u = Unstructured::new(rest);
            Action::read(&mut u).ok()?;
            let (action, after) = rest.split_at(rest.len() - u.len());
            if after.is_empty() && is_truncated(action) {
                break;
            }
            actions.push(action.to_vec());
            rest = after;
        }
        Some(Self {
            head: head.to_vec(),
            actions,
            tail: rest.to_vec(),
        })
    }

    fn write(&self) -> Vec<u8> {
        [self.head.as_slice(), &self.actions.concat(), &self.tail].concat()
    }
}

/// Returns whether an action at the end of an input would read further bytes.
fn is_truncated(action: &[u8]) -> bool {
    let longer = [action, &[0]].concat();
    let mut u = Unstructured::new(&longer);
    Action::read(&mut u).is_err() || u.is_empty()
}

/// Changes the first `size` bytes of `data` in a way that `seed` selects. Returns the new size, which is at most `most`.
pub fn mutate(data: &mut [u8], size: usize, most: usize, seed: u32) -> usize {
    let most = most.min(data.len());
    let Some(mut scenario) = Scenario::parse(&data[..size.min(data.len())]) else {
        return size.min(most);
    };
    let mut random = Random(u64::from(seed));
    for _ in 0..=random.below(3) {
        change(&mut scenario, &mut random);
    }
    scenario.actions.truncate(MOST_ACTIONS);
    let mut bytes = scenario.write();
    while bytes.len() > most && scenario.actions.pop().is_some() {
        scenario.tail.clear();
        bytes = scenario.write();
    }
    bytes.truncate(most);
    data[..bytes.len()].copy_from_slice(&bytes);
    bytes.len()
}

/// Random numbers (SplitMix64).
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) as usize % limit
    }

    fn byte(&mut self, limit: usize) -> u8 {
        u8::try_from(self.below(limit)).expect("a limit of at most 256")
    }
}

fn change(scenario: &mut Scenario, random: &mut Random) {
    let actions = &mut scenario.actions;
    let length = actions.len();
    let place = random.below(length + 1);
    let is_inside = place < length;
    match random.below(10) {
        0 => actions.insert(place, any_action(random)),
        1 if is_inside => actions[place] = any_action(random),
        2 if is_inside => drop(actions.remove(place)),
        3 if is_inside => {
            let copy = actions[place].clone();
            actions.insert(random.below(length + 1), copy);
        }
        4 if is_inside => actions.swap(place, random.below(length)),
        // Another slot, flag, failure or status, without a change of the length.
        5 if is_inside && !is_of_variable_length(&actions[place]) => {
            let action = &mut actions[place];
            let argument = 1 + random.below(action.len() - 1);
            action[argument] = random.byte(8);
        }
        6 => scenario.head = any_head(random),
        // A part of the input again.
        7 if is_inside => {
            let end = (place + 1 + random.below(6)).min(length);
            let copy = actions[place..end].to_vec();
            let at = random.below(length + 1);
            actions.splice(at..at, copy);
        }
        _ => {
            let dialogue = dialogue(random);
            actions.splice(place..place, dialogue);
        }
    }
}

/// Returns whether a change of an argument could change the number of the others.
fn is_of_variable_length(action: &[u8]) -> bool {
    let code = ACTION_CODES[usize::from(action[0]) % ACTION_CODES.len()];
    matches!(
        code,
        ActionCode::Respond | ActionCode::Restore | ActionCode::Revoke | ActionCode::Export
    )
}

fn any_head(random: &mut Random) -> Vec<u8> {
    let flags = random.byte(256) & !CHOSEN_LIMITS;
    let head = Writer::default().byte(random.byte(3)).byte(random.byte(3));
    if random.below(2) == 0 {
        return head.byte(flags & random.byte(256)).0;
    }
    let limits = random.byte(4);
    (0..limits)
        .fold(head.byte(CHOSEN_LIMITS).byte(limits), |head, _| {
            head.byte(random.byte(LIMITS.len())).byte(random.byte(100))
        })
        .0
}

fn code(code: ActionCode) -> Writer {
    let known = ACTION_CODES.iter().position(|known| *known == code);
    Writer::default().byte(u8::try_from(known.expect("a known code")).expect("few codes"))
}

fn any_action(random: &mut Random) -> Vec<u8> {
    let kind = ACTION_CODES[random.below(ACTION_CODES.len())];
    let slot = random.byte(4);
    match kind {
        ActionCode::Start => start(slot, random),
        ActionCode::Respond => respond(slot, random.byte(STATUSES.len()), random),
        ActionCode::Fail => code(kind).byte(slot).byte(random.byte(4)).0,
        ActionCode::Clock => clock(random.below(400), random),
        ActionCode::Export => code(kind).0,
        ActionCode::Restore => code(kind).byte(random.byte(4)).short("").0,
        ActionCode::Revoke => response(code(kind), random.byte(STATUSES.len()), random),
        ActionCode::Resume
        | ActionCode::Drop
        | ActionCode::GiveUp
        | ActionCode::Foreign
        | ActionCode::Friendly => code(kind).byte(slot).0,
    }
}

fn start(slot: u8, random: &mut Random) -> Vec<u8> {
    let operation = random.byte(OPERATIONS.len()) << OPERATION_SHIFT;
    let flags = operation | [0, 0, ENVELOPE, OTHER_GROUP][random.below(4)];
    code(ActionCode::Start).byte(slot).byte(flags).0
}

/// Moves the clock by seconds, seldom back or by other units.
fn clock(seconds: usize, random: &mut Random) -> Vec<u8> {
    let seconds = i16::try_from(seconds).expect("few seconds");
    let (by, unit) = match random.below(8) {
        0 => (-seconds, 1),
        1 => (seconds, random.byte(4)),
        _ => (seconds, 1),
    };
    code(ActionCode::Clock)
        .number(by.cast_unsigned())
        .byte(unit)
        .0
}

fn respond(slot: u8, status: u8, random: &mut Random) -> Vec<u8> {
    response(code(ActionCode::Respond).byte(slot), status, random)
}

/// Appends a response with a status (its number in [`STATUSES`]), and known headers and bodies.
fn response(writer: Writer, status: u8, random: &mut Random) -> Vec<u8> {
    let headers = random.byte(3);
    let mut writer = writer.byte(status).byte(headers);
    for _ in 0..headers {
        let name = random.below(HEADERS.len());
        let value = random.byte(HEADERS[name].1.len());
        writer = writer
            .byte(u8::try_from(name).expect("few names"))
            .byte(value);
    }
    let body = random.below(BODY_TYPES.len());
    writer = writer.byte(u8::try_from(body).expect("few types"));
    match BODY_TYPES[body] {
        BodyType::Raw => writer.long(r#"{"results":[]}"#),
        BodyType::Page | BodyType::Empty | BodyType::AllSecrets => writer,
        BodyType::Envelope => writer.byte(random.byte(STATUSES.len())),
        BodyType::Token => {
            let end = ["a", "b+c", "abcdefgh"][random.below(3)];
            writer.short(end).byte(random.byte(TOKEN_LIFETIMES.len()))
        }
        BodyType::Error => writer.short(["USER_UNAUTHORIZED", "OTHER"][random.below(2)]),
    }
    .0
}

/// Returns the actions of a usual dialogue in a slot.
fn dialogue(random: &mut Random) -> Vec<Vec<u8>> {
    let slot = random.byte(4);
    let other = (slot + 1 + random.byte(3)) % 4;
    let status = |status: u16| {
        let known = STATUSES.iter().position(|known| *known == status);
        u8::try_from(known.expect("a known status")).expect("few statuses")
    };
    let to = |kind, slot: u8| code(kind).byte(slot).0;
    let friendly = |slot| to(ActionCode::Friendly, slot);
    let resume = |slot| to(ActionCode::Resume, slot);
    let fail = |random: &mut Random| code(ActionCode::Fail).byte(slot).byte(random.byte(4)).0;
    let mut actions = vec![start(slot, random)];
    let refused = [401, 403, 406, 410, 429, 500, 503, 600][random.below(8)];
    actions.extend(match random.below(8) {
        // A response, a wait, and another attempt.
        0 => vec![
            respond(slot, status(refused), random),
            clock(100, random),
            resume(slot),
            friendly(slot),
        ],
        1 => vec![
            friendly(slot),
            respond(slot, status(refused), random),
            resume(slot),
            friendly(slot),
        ],
        2 => vec![fail(random), resume(slot), fail(random), resume(slot)],
        // Another exchange follows, and takes over.
        3 => vec![
            start(other, random),
            fail(random),
            resume(other),
            friendly(other),
        ],
        4 => vec![
            start(other, random),
            clock(60, random),
            resume(other),
            friendly(slot),
            friendly(other),
        ],
        5 => vec![
            friendly(slot),
            start(other, random),
            respond(slot, status(401), random),
            respond(other, status(401), random),
            friendly(slot),
        ],
        6 => vec![
            respond(slot, status(429), random),
            start(other, random),
            clock(7, random),
            resume(other),
            resume(slot),
        ],
        _ => vec![
            friendly(slot),
            friendly(slot),
            code(ActionCode::Export).0,
            clock(45, random),
            code(ActionCode::Restore).byte(0).short("").0,
            start(other, random),
        ],
    });
    actions
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::{fs, iter};

    use super::*;
    use crate::generators::bytes::read;
    use crate::generators::session::Input;

    fn parsed(bytes: &[u8]) -> String {
        format!("{:?}", read::<Input>(bytes))
    }

    /// Returns all seeds, and each without its last bytes.
    fn seeds() -> impl Iterator<Item = Vec<u8>> {
        let seeds = Path::new(env!("CARGO_MANIFEST_DIR")).join("../seeds/session");
        let files = fs::read_dir(seeds).expect("the seeds can be read");
        files.flat_map(|file| {
            let seed = fs::read(file.expect("a file").path()).expect("a seed can be read");
            let shorter = (1..seed.len().min(9)).map(|n| seed[..seed.len() - n].to_vec());
            iter::once(seed.clone()).chain(shorter.collect::<Vec<_>>())
        })
    }

    #[test]
    fn parsed_scenario_is_written_unchanged() {
        for seed in seeds() {
            let scenario = Scenario::parse(&seed).expect("any bytes are a scenario");
            assert_eq!(scenario.write(), seed);
            assert_eq!(Scenario::parse(&scenario.write()), Some(scenario));
        }
    }

    #[test]
    fn moved_actions_keep_their_meaning() {
        for seed in seeds() {
            let mut scenario = Scenario::parse(&seed).expect("any bytes are a scenario");
            scenario.tail.clear();
            scenario.actions.reverse();
            let moved = Scenario::parse(&scenario.write()).expect("any bytes are a scenario");
            assert_eq!(moved, scenario);
        }
    }

    #[test]
    fn mutated_input_is_within_the_limit_and_equal_for_equal_seeds() {
        let mut changed = 0;
        for (n, seed) in (0..).zip(seeds()) {
            for most in [0, 2, seed.len(), seed.len() + 40, 4096] {
                let mutated = || {
                    let mut data = seed.clone();
                    data.resize(most.max(seed.len()), 0xff);
                    let size = mutate(&mut data, seed.len(), most, n);
                    assert!(size <= most);
                    data.truncate(size);
                    data
                };
                assert_eq!(mutated(), mutated());
                changed += u32::from(parsed(&mutated()) != parsed(&seed));
            }
        }
        assert!(changed > 1000, "only {changed} inputs were changed");
    }
}
