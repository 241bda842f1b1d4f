//! Every order of loss, repetition, loss of power, kills and reruns within stated bounds, over the real state machines.
//! docs/handoff-model.md says what is explored and holds the numbers; this test writes them there where
//! `UPDATE_DOCS` is set, and else compares.
// Clippy takes only functions marked #[test] for tests; this whole file is one.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs, unreachable_pub)]

#[path = "model/world.rs"]
mod world;

use std::fmt::Write as _;

use prost::Message as _;
use stateright::{Checker as _, Model, Property};
use world::{Action, Bounds, Ending, World, whole};

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

static EXPLORED: &[Bounds] = &[
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

/// One configuration, for stateright.
struct HandOff {
    bounds: &'static Bounds,
    /// Every configuration that a device may hold whole, encoded.
    whole: Vec<Vec<u8>>,
}

impl Model for HandOff {
    type State = World;
    type Action = Action;

    fn init_states(&self) -> Vec<World> {
        vec![World::new(self.bounds)]
    }

    fn actions(&self, world: &World, actions: &mut Vec<Action>) {
        world.actions(actions);
    }

    fn next_state(&self, world: &World, action: Action) -> Option<World> {
        let mut next = world.clone();
        next.act(action);
        Some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        let mut properties = vec![
            Property::always("the configuration in force is whole, and never none where there was one", whole_in_force),
            Property::always("the device acts on what is in force and on nothing else", |_, world: &World| {
                world.acts_on().is_none() || world.acts_on() == world.ram_in_force().as_ref()
            }),
            Property::always("after the timer of a lease nothing is staged", |_, world: &World| {
                !world.staged_after_its_lease
            }),
            Property::always("the journal never claims what the device never had", claims_nothing_false),
            Property::always("undisturbed, the journal's last word is how the device stands", last_word_holds),
            Property::always("when the faults stop, a rerun ends it", |_, world: &World| {
                let mut order: Vec<usize> = (0..world.apps.len()).collect();
                world.rerun_ends(&order) || {
                    order.reverse();
                    world.rerun_ends(&order)
                }
            }),
            Property::eventually("where nothing can happen any more, every app was told", |_, world: &World| {
                world.ended()
            }),
            Property::sometimes("a new configuration is assigned", |_, world: &World| {
                world.apps.iter().all(|app| app.journal.said == Some(Ending::Assigned))
            }),
        ];
        if self.bounds.refuses {
            properties.push(Property::sometimes("a new configuration is rolled back", |_, world: &World| {
                world.apps.iter().all(|app| app.journal.said == Some(Ending::Failed { rolled_back: true }))
            }));
        }
        properties
    }
}

/// Wholly old or wholly new, never a mixture and never nothing where there was something.
fn whole_in_force(model: &HandOff, world: &World) -> bool {
    match world.in_force() {
        Some((config, _)) => model.whole.contains(&config.encode_to_vec()),
        None => !model.bounds.was_assigned || world.button_pressed,
    }
}

fn claims_nothing_false(_: &HandOff, world: &World) -> bool {
    world.apps.iter().zip(&world.ever).all(|(app, ever)| {
        let journal = &app.journal;
        let staged = !journal.staged || ever.staged;
        let committed = !journal.committed || ever.in_force || ever.failed;
        let said = match journal.said {
            Some(Ending::Assigned) => ever.assigned,
            Some(Ending::Failed { rolled_back: true }) => ever.failed,
            Some(Ending::Failed { rolled_back: false }) | None => true,
        };
        staged && committed && said
    })
}

/// Where nobody else has the device and its button was not pressed.
fn last_word_holds(model: &HandOff, world: &World) -> bool {
    if world.button_pressed || model.bounds.apps > 1 || model.bounds.refused_writes > 0 {
        return true;
    }
    let in_force = world.in_force();
    world.apps.iter().zip(&world.ever).enumerate().all(|(number, (app, ever))| {
        let ours = in_force.as_ref().filter(|(config, _)| config.id_scope == format!("0ne{number:08X}"));
        match app.journal.said {
            Some(Ending::Assigned) => ours.is_some_and(|(_, assigned)| assigned.is_some()),
            Some(Ending::Failed { rolled_back: true }) => ours.is_none(),
            Some(Ending::Failed { rolled_back: false }) => true,
            None => !app.journal.committed || ours.is_some() || ever.failed,
        }
    })
}

struct Found {
    states: usize,
    transitions: usize,
    depth: usize,
}

fn explore(bounds: &'static Bounds) -> Found {
    let whole = whole(bounds).iter().map(prost::Message::encode_to_vec).collect();
    let checker = HandOff { bounds, whole }.checker().spawn_bfs().join();
    checker.assert_properties();
    // The first state was generated by no transition, and is at depth 1.
    let (states, transitions) = (checker.unique_state_count(), checker.state_count() - 1);
    Found { states, transitions, depth: checker.max_depth() - 1 }
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
