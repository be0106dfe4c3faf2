//! What sentinels say of workers and clocks.

use super::super::on_word::Found;
use super::sync::*;
use super::*;
use shanty_model::kind::http_load;

impl World {
    /// Sentinels of s1, s2, s3 say of a worker what they found just now.
    fn say(&mut self, sentinels: &[&str], worker: &str, dead: bool) {
        self.say_of(sentinels, worker, "first", dead, self.now.boot);
    }

    fn say_of(&mut self, sentinels: &[&str], worker: &str, incarnation: &str, dead: bool, at: Duration) {
        let voters = ["s1", "s2", "s3"].map(node);
        for sentinel in sentinels {
            let why = "its door is silent".to_owned();
            let found = Found { node: node(worker), incarnation: incarnation.to_owned(), dead, why, at };
            self.engine.on_found(self.now, &node(sentinel), &voters, vec![found]);
        }
        self.settle();
    }

    fn node_events(&self) -> Vec<String> {
        let of = |mutation: &Mutation| match mutation {
            Mutation::AppendNodeEvent(event) => Some(format!("{} {}", event.reason, event.message)),
            _ => None,
        };
        self.stored.iter().filter_map(of).collect()
    }

    fn confirmed(&self) -> Option<String> {
        self.node_events().into_iter().find(|event| event.starts_with("WORKER_DEATH_CONFIRMED"))
    }
}

/// A sync under way on two workers; the one that falls silent, and the other.
fn syncing() -> (World, RunId, &'static str, &'static str) {
    let mut world = World::with_workers(&["w1", "w2"]);
    let run = world.copying(2, &[100, 90]);
    let (name, _) = world.attempt(&run, copy(0));
    let (silent, other) = if name == "w1" { ("w1", "w2") } else { ("w2", "w1") };
    (world, run, silent, other)
}

#[test]
fn a_silent_worker_that_most_sentinels_find_dead_loses_its_work_after_two_seconds() {
    let (mut world, run, silent, other) = syncing();
    world.pass(1500 * MS, &[other]);
    world.say(&["s1", "s3"], silent, true);
    let event = world.confirmed().expect("an event");
    assert!(
        event.contains("not heard for 1.5 s, and 2 of 3 sentinels agree (s1, s3): its door is silent"),
        "{event}"
    );
    world.pass(400 * MS, &[other]);
    assert_eq!(world.attempt(&run, copy(0)).0, silent, "two seconds are not over");
    world.pass(100 * MS, &[other]);
    let (now_at, attempt) = world.attempt(&run, copy(0));
    assert_eq!((now_at.as_str(), attempt.number), (other, 2));
    let notes: Vec<String> = world
        .stored
        .iter()
        .filter_map(|mutation| match mutation {
            Mutation::AppendEvent(event) => Some(format!("{:?}", event.body)),
            _ => None,
        })
        .collect();
    assert!(notes.iter().any(|note| note.contains("silent, and sentinels find it dead")), "{notes:?}");
    // Said once, however often sentinels repeat it; and heard again, it works again.
    world.say(&["s1", "s2", "s3"], silent, true);
    assert_eq!(world.node_events().iter().filter(|event| event.contains("is dead")).count(), 1);
    world.pass(100 * MS, &[silent, other]);
    assert!(world.node_events().last().unwrap().starts_with("WORKER_HEARD_AGAIN"));
    assert!(world.engine.workers(world.now).iter().all(|(.., present)| *present));
}

#[test]
fn words_that_do_not_count_shorten_nothing() {
    type Say = fn(&mut World, &str);
    let cases: [(&str, Say); 9] = [
        ("one sentinel alone", |world, silent| world.say(&["s2"], silent, true)),
        ("the same twice", |world, silent| world.say(&["s2", "s2"], silent, true)),
        ("strangers", |world, silent| world.say(&["s8", "s9"], silent, true)),
        ("of a start before", |world, silent| {
            world.say_of(&["s1", "s2"], silent, "zeroth", true, world.now.boot);
        }),
        ("seen before it was last heard", |world, silent| {
            world.say_of(&["s1", "s2"], silent, "first", true, world.now.boot - 2000 * MS);
        }),
        ("of the future", |world, silent| {
            world.say_of(&["s1", "s2"], silent, "first", true, world.now.boot + 2000 * MS);
        }),
        ("they reach it: it has lost its leader alone", |world, silent| {
            world.say(&["s1", "s2", "s3"], silent, false);
        }),
        ("most take it back", |world, silent| {
            world.say(&["s1"], silent, true);
            world.say(&["s1"], silent, false);
            world.say(&["s2"], silent, true);
        }),
        ("two seconds apart", |world, silent| {
            world.say(&["s1"], silent, true);
            world.now.boot += 2001 * MS;
            world.now.unix_ns += 2_001_000_000;
            world.say(&["s2"], silent, true);
        }),
    ];
    for (case, say) in cases {
        let (mut world, run, silent, other) = syncing();
        world.pass(1500 * MS, &[other]);
        say(&mut world, silent);
        assert_eq!(world.confirmed(), None, "{case}");
        world.pass(3000 * MS, &[other]);
        assert_eq!(world.attempt(&run, copy(0)).0, silent, "{case}");
        world.pass(4000 * MS, &[other]);
        assert_eq!(world.attempt(&run, copy(0)).0, other, "{case}: the whole wait is kept");
    }
}

#[test]
fn a_word_about_a_worker_that_is_heard_confirms_nothing() {
    let (mut world, _, silent, other) = syncing();
    world.pass(500 * MS, &[silent, other]);
    world.say(&["s1", "s2"], silent, true);
    assert_eq!(world.confirmed(), None, "it was heard in this very moment");
}

#[test]
fn two_sentinels_decide_nothing_even_if_both_agree() {
    let (mut world, _, silent, other) = syncing();
    world.pass(1500 * MS, &[other]);
    let voters = ["s1", "s2"].map(node);
    for sentinel in &voters {
        let found = Found {
            node: node(silent),
            incarnation: "first".into(),
            dead: true,
            why: String::new(),
            at: world.now.boot,
        };
        world.engine.on_found(world.now, sentinel, &voters, vec![found]);
    }
    world.settle();
    assert_eq!(world.confirmed(), None);
}

#[test]
fn load_moves_as_soon_as_the_death_is_confirmed() {
    let mut world = World::with_workers(&["w1", "w2"]);
    world.start(Spec::HttpLoad(http_load::Spec {
        url: "http://127.0.0.1:1/".into(),
        rate: Some(100.0),
        duration: Some(Duration::from_secs(60)),
        ..http_load::Spec::default()
    }));
    world.begin_all();
    world.pass(1900 * MS, &["w2"]);
    assert!(!world.notes().contains(&"WORKER_LOST".to_owned()));
    world.say(&["s1", "s2"], "w1", true);
    world.pass(100 * MS, &["w2"]);
    assert!(world.notes().contains(&"WORKER_LOST".to_owned()), "after 2.0 s, not 3");
}

#[test]
fn sentinels_are_asked_about_silent_workers_and_a_few_others_in_turn() {
    let mut world = World::with_workers(&["w1", "w2", "w3", "w4"]);
    world.pass(1000 * MS, &["w1", "w2", "w3"]);
    let names = |doors: &[Door]| doors.iter().map(|door| door.address.clone()).collect::<Vec<_>>();
    let look = |world: &World, sample, after: Option<&str>| {
        let (suspects, sample) = world.engine.to_look_at(world.now, sample, after.map(node).as_ref());
        (names(&suspects), names(&sample))
    };
    let (suspects, others) = look(&world, 2, None);
    assert_eq!(suspects, ["w4:7073"]);
    assert_eq!(others, ["w1:7073", "w2:7073"]);
    assert_eq!(look(&world, 2, Some("w2")).1, ["w3:7073", "w1:7073"]);
    assert_eq!(look(&world, 9, Some("w3")).1, ["w1:7073", "w2:7073", "w3:7073"]);
    // A broken stream is news enough.
    world.engine.on_gone(world.now, &node("w4"), "first");
    assert!(look(&world, 0, None).0.is_empty());
}

#[test]
fn a_large_fleet_that_beats_less_often_is_suspected_later() {
    let names: Vec<String> = (0..SMALL_FLEET).map(|n| format!("w{n}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let mut world = World::with_workers(&names);
    world.pass(2900 * MS, &[]);
    assert!(world.engine.to_look_at(world.now, 0, None).0.is_empty());
    world.pass(100 * MS, &[]);
    assert_eq!(world.engine.to_look_at(world.now, 0, None).0.len(), SMALL_FLEET);
}

#[test]
fn a_clock_that_stays_apart_is_told_once_and_shown_until_it_is_mended() {
    let mut world = World::with_workers(&["w1"]);
    let beat = |world: &mut World, ahead_ms: i64| {
        world.now.boot += Duration::from_secs(1);
        let ahead_ns = ahead_ms * 1_000_000;
        world.engine.on_heartbeat(world.now, &node("w1"), Telemetry::default(), ahead_ns);
        world.engine.on_clocks(world.now, BTreeMap::from([(node("m2"), -ahead_ms)]));
        world.settle();
    };
    // One message that waited is no clock that lags.
    for ahead_ms in [-5000, 0, 1000, 2500, 2500, 2500] {
        beat(&mut world, ahead_ms);
        assert!(world.engine.warnings().is_empty(), "{ahead_ms}");
    }
    beat(&mut world, 2500);
    beat(&mut world, 2600);
    let told: Vec<String> =
        world.node_events().into_iter().filter(|event| event.starts_with("CLOCK_APART")).collect();
    assert_eq!(told.len(), 2, "{told:?}");
    let warnings = world.engine.warnings();
    assert_eq!(
        warnings,
        [
            "the clock of m2 is 2.6 s behind the leader's: let NTP set both",
            "the clock of w1 is 2.6 s ahead of the leader's: let NTP set both",
        ]
    );
    beat(&mut world, 20);
    assert!(world.engine.warnings().is_empty());
}
