//! Every order of loss, repetition, loss of power, kills and reruns within stated bounds, over the real state machines.
//! docs/handoff-model.md says what is explored and holds the numbers; this test writes them there where
//! `UPDATE_DOCS` is set, and else compares.
// Clippy takes only functions marked #[test] for tests; this whole file is one.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs, unreachable_pub)]

#[path = "model/world.rs"]
mod world;

use std::collections::{BTreeMap, VecDeque};
use std::fmt::Write as _;

use prost::Message as _;
use world::{ACROSS_SESSIONS, Action, Bounds, Ending, MAX_PLAIN, NEW_CREDENTIALS, World, whole};

const NONE: Bounds = Bounds {
    name: "",
    apps: 1,
    was_assigned: false,
    refuses: false,
    new_credentials: false,
    max_plain: 496,
    losses: 0,
    copies: 0,
    across_sessions: false,
    power_cuts: 0,
    kills: 0,
    expiries: 0,
    buttons: 0,
    refused_writes: 0,
};

const EXPLORED: &[Bounds] = &[
    Bounds {
        name: "a new device",
        losses: 2,
        copies: 1,
        across_sessions: true,
        power_cuts: 2,
        kills: 1,
        expiries: 1,
        ..NONE
    },
    Bounds {
        name: "a device that was assigned before, DPS may refuse",
        was_assigned: true,
        refuses: true,
        losses: 1,
        copies: 1,
        across_sessions: true,
        power_cuts: 1,
        kills: 1,
        expiries: 1,
        ..NONE
    },
    Bounds {
        name: "another certificate at every try, DPS may refuse",
        was_assigned: true,
        refuses: true,
        new_credentials: true,
        losses: 1,
        copies: 1,
        power_cuts: 1,
        kills: 1,
        expiries: 1,
        ..NONE
    },
    Bounds { name: "messages in parts of 64 bytes", max_plain: 64, losses: 1, copies: 1, power_cuts: 1, ..NONE },
    Bounds { name: "two installers at one device", apps: 2, was_assigned: true, power_cuts: 1, expiries: 1, ..NONE },
    Bounds {
        name: "the device's button, and flash that refuses to write",
        was_assigned: true,
        refuses: true,
        power_cuts: 1,
        buttons: 1,
        refused_writes: 1,
        expiries: 1,
        ..NONE
    },
];

struct Found {
    states: usize,
    transitions: usize,
    depth: u32,
}

fn explore(bounds: &Bounds) -> Found {
    MAX_PLAIN.with(|max| max.set(bounds.max_plain));
    ACROSS_SESSIONS.with(|across| across.set(bounds.across_sessions));
    NEW_CREDENTIALS.with(|new| new.set(bounds.new_credentials));
    let allowed: Vec<Vec<u8>> = whole(bounds).iter().map(prost::Message::encode_to_vec).collect();
    let first = World::new(bounds);
    let mut seen = BTreeMap::from([(first.key(), 0_usize)]);
    let mut came: Vec<Option<(usize, Action)>> = vec![None];
    let mut fair: Vec<Vec<usize>> = vec![Vec::new()];
    let mut good = vec![first.ended()];
    let mut queue = VecDeque::from([(0_usize, 0_u32, first)]);
    let (mut transitions, mut depth) = (0, 0);
    while let Some((from, level, world)) = queue.pop_front() {
        depth = depth.max(level);
        for action in world.actions(bounds) {
            let mut next = world.clone();
            next.act(action);
            transitions += 1;
            if let Err(broken) = check(bounds, &allowed, &world, action, &next) {
                panic!("{}: {broken}\n{}", bounds.name, story(&came, from, action));
            }
            let to = *seen.entry(next.key()).or_insert_with(|| {
                came.push(Some((from, action)));
                fair.push(Vec::new());
                good.push(next.ended());
                queue.push_back((came.len() - 1, level + 1, next));
                came.len() - 1
            });
            if action.is_fair() {
                fair[to].push(from);
            }
        }
    }
    // Wherever the faults have led: when they stop, a rerun can come to its end.
    let mut open: VecDeque<usize> = (0..good.len()).filter(|state| good[*state]).collect();
    while let Some(state) = open.pop_front() {
        for before in std::mem::take(&mut fair[state]) {
            if !good[before] {
                good[before] = true;
                open.push_back(before);
            }
        }
    }
    if let Some(stuck) = good.iter().position(|good| !good) {
        let (from, action) = came[stuck].unwrap();
        panic!("{}: no rerun ends this\n{}", bounds.name, story(&came, from, action));
    }
    Found { states: good.len(), transitions, depth }
}

/// What led there, step by step.
fn story(came: &[Option<(usize, Action)>], mut from: usize, last: Action) -> String {
    let mut actions = vec![last];
    while let Some((before, action)) = came[from] {
        actions.push(action);
        from = before;
    }
    actions.iter().rev().fold(String::new(), |mut text, action| {
        let _ = writeln!(text, "  {action:?}");
        text
    })
}

fn check(bounds: &Bounds, allowed: &[Vec<u8>], before: &World, action: Action, world: &World) -> Result<(), String> {
    // Wholly old or wholly new, never a mixture and never nothing where there was something.
    let in_force = world.in_force();
    match &in_force {
        Some((config, _)) if !allowed.contains(&config.encode_to_vec()) => {
            return Err(format!("a mixture: {config:?}"));
        }
        None if bounds.was_assigned && !world.button_pressed => return Err("the old configuration is lost".into()),
        _ => {}
    }
    // It acts on what is in force, and on nothing else.
    let acts_on = world.acts_on();
    if acts_on.is_some() && acts_on != world.ram_in_force().as_ref() {
        return Err("it acts on a configuration that is not in force".into());
    }
    if matches!(action, Action::Tick(world::Power::Stays)) && world.has_staged() {
        return Err("the lease is over and the hand-off is still staged".into());
    }
    let disturbed = world.button_pressed || bounds.apps > 1 || bounds.refused_writes > 0;
    for (number, app) in world.apps.iter().enumerate() {
        let [ever_in_force, ever_assigned, ever_failed] = world.ever[number];
        let journal = &app.journal;
        let id = world::handoff_id(number);
        let ours = in_force.as_ref().filter(|(config, _)| config.id_scope == format!("0ne{number:08X}"));
        // The journal never claims what the device does not have.
        if journal.committed && !(ever_in_force || ever_failed) {
            return Err("the journal says committed, the device never had it in force".into());
        }
        if journal.staged && !ever_in_force && bounds.expiries == 0 && before.in_flash().handoff_id != id {
            return Err("the journal says staged, the device never had it".into());
        }
        match journal.said {
            Some(Ending::Assigned) if !ever_assigned => return Err("assigned in the journal alone".into()),
            Some(Ending::Assigned) if !disturbed && ours.is_none_or(|(_, assigned)| assigned.is_none()) => {
                return Err("the journal says assigned, the device is not".into());
            }
            Some(Ending::Failed { rolled_back: true }) if !ever_failed => {
                return Err("failed in the journal alone".into());
            }
            Some(Ending::Failed { rolled_back: true }) if !disturbed && ours.is_some() => {
                return Err("the journal says rolled back, the device has it in force".into());
            }
            _ => {}
        }
        if journal.committed && journal.said.is_none() && !disturbed && ours.is_none() && !ever_failed {
            return Err("committed, not failed, and not in force".into());
        }
    }
    Ok(())
}

#[test]
fn every_order_of_events_within_the_bounds_leaves_the_device_whole_and_a_rerun_ends_it() {
    let mut table = String::from(
        "| configuration | messages lost | late copies | power cuts | kills | leases over | states | transitions | longest shortest path |\n|---|---|---|---|---|---|---|---|---|\n",
    );
    let mut all = 0;
    let explored: Vec<Found> = std::thread::scope(|scope| {
        let threads: Vec<_> = EXPLORED.iter().map(|bounds| scope.spawn(|| explore(bounds))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    for (bounds, found) in EXPLORED.iter().zip(explored) {
        all += found.states;
        let Bounds { name, losses, copies, power_cuts, kills, expiries, .. } = bounds;
        let Found { states, transitions, depth } = found;
        writeln!(
            table,
            "| {name} | {losses} | {copies} | {power_cuts} | {kills} | {expiries} | {states} | {transitions} | {depth} |"
        )
        .unwrap();
    }
    writeln!(table, "\n{all} states in all.").unwrap();
    in_the_doc(&table);
}

/// The numbers in docs/handoff-model.md are those that were just found.
fn in_the_doc(table: &str) {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/handoff-model.md");
    let doc = std::fs::read_to_string(path).unwrap();
    let (begin, end) = ("<!-- states: written by core/handoff/tests/model.rs -->\n", "<!-- end of states -->");
    let from = doc.find(begin).unwrap() + begin.len();
    let to = doc.find(end).unwrap();
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(path, format!("{}{table}{}", &doc[..from], &doc[to..])).unwrap();
        return;
    }
    assert_eq!(&doc[from..to], table, "run it once with UPDATE_DOCS=1 and look at what changed");
}
