//! Random lives of two syncs that share their databases: workers that come, go, hang, refuse, fail and repeat
//! themselves, leaders that change, limits that change; and what must hold whatever happens.
//!
//! The target is modelled with its fence: an attempt works only while no larger number of its shard has.

use super::sync::*;
use super::*;
use shanty_model::kind::db_sync::{self, Directive, Found, Partial, Step};
use shanty_model::kind::{Change, Report};
use shanty_model::state::{RunState, ShardState};
use std::collections::{BTreeSet, VecDeque};

const SEEDS: u64 = 100;
const WILD_STEPS: u32 = 500;
const CALM_STEPS: u32 = 6000;
const WORKERS: [&str; 4] = ["w1", "w2", "w3", "w4"];
const CAPS: [u32; 2] = [3, 5];
const PARTS: u32 = 6;

/// xorshift64*.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) % sides
    }

    fn one_in(&mut self, sides: u64) -> bool {
        self.roll(sides) == 0
    }

    fn pick<T: Copy>(&mut self, of: &[T]) -> T {
        of[usize::try_from(self.roll(of.len() as u64)).unwrap()]
    }
}

/// A range as the target keeps it.
#[derive(Debug, Clone, Default)]
struct Range {
    rows: u64,
    left: u64,
    /// Ranges that were cut from it.
    cut: Vec<u32>,
}

/// What the target of one run holds.
#[derive(Debug, Default)]
struct Target {
    /// Largest attempt number seen, by step.
    fence: BTreeMap<Step, u32>,
    ranges: BTreeMap<u32, Range>,
    planned: bool,
}

/// An attempt on a worker.
#[derive(Debug)]
struct Job {
    step: Step,
    cuts: u32,
    cuts_done: u32,
    stop: bool,
    unacked: BTreeMap<u64, Partial>,
    newest: u64,
    end: Option<Outcome>,
}

#[derive(Debug, Default)]
struct Hand {
    incarnation: u32,
    attached: bool,
    hangs: bool,
    inbox: VecDeque<Order>,
    jobs: BTreeMap<AttemptId, Job>,
}

struct Life {
    world: World,
    dice: Dice,
    runs: Vec<RunId>,
    targets: BTreeMap<RunId, Target>,
    hands: BTreeMap<&'static str, Hand>,
    looked_at: usize,
    shards: BTreeMap<String, (RunId, ShardState)>,
    names: BTreeSet<(RunId, String)>,
    out: BTreeMap<AttemptId, RunId>,
    most: u32,
    calm: bool,
}

impl Life {
    fn new(seed: u64) -> Life {
        let mut life = Life {
            world: World::new(),
            dice: Dice(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1),
            runs: Vec::new(),
            targets: BTreeMap::new(),
            hands: WORKERS.iter().map(|name| (*name, Hand::default())).collect(),
            looked_at: 0,
            shards: BTreeMap::new(),
            names: BTreeSet::new(),
            out: BTreeMap::new(),
            most: 0,
            calm: false,
        };
        for cap in CAPS {
            let run = life.world.start_sync(cap);
            life.targets.insert(run.clone(), Target::default());
            life.runs.push(run);
        }
        life.look();
        life
    }

    /// Takes in what was stored and told, and checks what must hold.
    fn look(&mut self) {
        for mutation in &self.world.stored[self.looked_at..] {
            match mutation {
                Mutation::InsertShard(shard) | Mutation::UpdateShard(shard) => {
                    let id = shard.id.to_string();
                    let before = self.shards.insert(id.clone(), (shard.id.run.clone(), shard.state));
                    if before.is_none() {
                        let name = (shard.id.run.clone(), shard.name.clone());
                        assert!(self.names.insert(name), "{} is there twice", shard.name);
                    }
                    if let Some((_, before)) = before {
                        assert!(!before.is_terminal(), "{id} was {before:?} and is {:?}", shard.state);
                    }
                }
                Mutation::InsertAttempt(attempt) | Mutation::UpdateAttempt(attempt) => {
                    if attempt.outcome.is_empty() {
                        self.out.insert(attempt.id.clone(), attempt.id.shard.run.clone());
                    } else {
                        self.out.remove(&attempt.id);
                    }
                }
                _ => {}
            }
        }
        self.looked_at = self.world.stored.len();
        let mut of_shard = BTreeMap::new();
        for attempt in self.out.keys() {
            let other = of_shard.insert(attempt.shard.clone(), attempt.number);
            assert_eq!(other, None, "two attempts at {} are out", attempt.shard);
            let (_, state) = &self.shards[&attempt.shard.to_string()];
            assert!(!state.is_terminal() && *state != ShardState::Pending, "{attempt} is out, {state:?}");
        }
        let out = u32::try_from(self.out.len()).unwrap();
        assert!(out <= CAPS[1], "{out} attempts are out");
        let first = self.out.values().filter(|run| **run == self.runs[0]).count();
        assert!(
            self.runs.len() < 2 || first <= CAPS[0] as usize,
            "{first} attempts of the first run are out"
        );
        self.most = self.most.max(out);
        for (node, order) in std::mem::take(&mut self.world.told) {
            let hand = self.hands.get_mut(node.as_str()).unwrap();
            if hand.attached {
                hand.inbox.push_back(order);
            }
        }
    }

    fn attach(&mut self, name: &'static str) {
        let hand = self.hands.get_mut(name).unwrap();
        hand.attached = true;
        hand.inbox.clear();
        let held: Vec<Held> = hand
            .jobs
            .iter()
            .map(|(id, job)| {
                let acked = job.unacked.keys().next().map_or(job.newest, |first| first - 1);
                Held { attempt: id.clone(), revision: 0, acked, ended: job.end.is_some() }
            })
            .collect();
        let incarnation = hand.incarnation.to_string();
        self.world.attach_with(name, &incarnation, &held, 3, &["shop", "dw"]);
        self.look();
    }

    fn detach(&mut self, name: &'static str) {
        let hand = self.hands.get_mut(name).unwrap();
        hand.attached = false;
        let incarnation = hand.incarnation.to_string();
        self.world.engine.on_gone(self.world.now, &node(name), &incarnation);
        self.world.settle();
        self.look();
    }

    /// A worker reads one order.
    fn read(&mut self, name: &'static str) {
        let refuses = !self.calm && self.dice.one_in(30);
        let hand = self.hands.get_mut(name).unwrap();
        let Some(order) = hand.inbox.pop_front() else { return };
        match order {
            Order::Assign(assignment) => {
                let id = assignment.attempt.clone();
                let directive: Directive = serde_json::from_str(&assignment.directive).unwrap();
                if let Some(job) = hand.jobs.get_mut(&id) {
                    job.cuts = job.cuts.max(directive.cuts);
                    return;
                }
                if refuses || hand.jobs.values().filter(|job| job.end.is_none()).count() >= 3 {
                    let update = Update::Refused("no room".into());
                    self.world.engine.on_update(self.world.now, &node(name), &id, update);
                } else {
                    hand.jobs.retain(|older, _| older.shard != id.shard);
                    let step = serde_json::from_str(&assignment.shard).unwrap();
                    let job = Job {
                        step,
                        cuts: directive.cuts,
                        cuts_done: directive.cuts,
                        stop: false,
                        unacked: BTreeMap::new(),
                        newest: 0,
                        end: None,
                    };
                    hand.jobs.insert(id, job);
                }
            }
            Order::Change { attempt, directive, .. } => {
                let directive: Directive = serde_json::from_str(&directive).unwrap();
                if let Some(job) = hand.jobs.get_mut(&attempt) {
                    job.cuts = job.cuts.max(directive.cuts);
                }
            }
            Order::Cancel { attempt, discard, .. } => {
                if let Some(job) = hand.jobs.get_mut(&attempt) {
                    job.stop = true;
                    if discard {
                        job.unacked.clear();
                        job.end = Some(Outcome::Cancelled);
                    }
                }
            }
            Order::Ack { attempt, sequence, ended } => {
                if let Some(job) = hand.jobs.get_mut(&attempt) {
                    job.unacked.retain(|number, _| *number > sequence);
                    if ended && job.end.is_some() {
                        hand.jobs.remove(&attempt);
                    }
                }
            }
            Order::Drain(_) => {}
        }
        self.world.settle();
        self.look();
    }

    /// One attempt of a worker does a piece of its work.
    fn work(&mut self, name: &'static str) {
        let ids: Vec<AttemptId> = self.hands[name].jobs.keys().cloned().collect();
        if ids.is_empty() {
            return;
        }
        let index = usize::try_from(self.dice.roll(ids.len() as u64)).unwrap();
        let id = ids[index].clone();
        let fails = !self.calm && self.dice.one_in(25);
        let job = self.hands.get_mut(name).unwrap().jobs.get_mut(&id).unwrap();
        if job.end.is_some() {
            return;
        }
        let target = self.targets.get_mut(&id.shard.run).unwrap();
        let fence = target.fence.entry(job.step).or_default();
        if *fence > id.number {
            // A later attempt has begun: nothing of this one is written any more.
            job.end = Some(Outcome::Failed { transient: true });
            return;
        }
        *fence = id.number;
        if job.stop {
            job.end = Some(Outcome::Cancelled);
            return;
        }
        if fails {
            job.end = Some(Outcome::Failed { transient: true });
            return;
        }
        let mut partial = Partial::new(job.step);
        let over = match job.step {
            Step::Plan => {
                let next = u32::try_from(target.ranges.len()).unwrap();
                if next < PARTS && !target.planned {
                    let rows = 1 + self.dice.roll(300_000);
                    target.ranges.insert(next, Range { rows, left: rows, cut: Vec::new() });
                } else {
                    target.planned = true;
                }
                // A plan that goes on after another tells all again.
                let found = target.ranges.iter().filter(|(part, _)| **part < PARTS);
                partial.found = found.map(|(part, r)| Found { step: copy(*part), rows: r.rows }).collect();
                partial.tables = vec![orders(target.planned, true)];
                target.planned
            }
            Step::Copy { part, .. } => {
                if job.cuts > job.cuts_done {
                    job.cuts_done = job.cuts;
                    let next = target.ranges.keys().next_back().map_or(0, |last| last + 1);
                    let range = target.ranges.get_mut(&part).unwrap();
                    // Numbers of the plan's own ranges are taken by the plan.
                    if range.left > 1 && target.planned {
                        let half = range.left / 2;
                        (range.left, range.rows) = (range.left - half, range.rows - half);
                        range.cut.push(next);
                        target.ranges.insert(next, Range { rows: half, left: half, cut: Vec::new() });
                    }
                }
                let page = 1 + self.dice.roll(60_000);
                let range = target.ranges.get_mut(&part).unwrap();
                range.left -= page.min(range.left);
                partial.rows = range.rows - range.left;
                partial.remaining = Some(range.left);
                let (cut, left) = (range.cut.clone(), range.left);
                let found = cut.iter().map(|part| (part, &target.ranges[part]));
                partial.found = found.map(|(part, r)| Found { step: copy(*part), rows: r.rows }).collect();
                left == 0
            }
            Step::Finish { .. } | Step::Verify { .. } | Step::Close => true,
        };
        job.newest += 1;
        job.unacked.insert(job.newest, partial);
        if over {
            job.end = Some(Outcome::Done);
        }
    }

    /// A worker says what it has to say, all of it or a part, perhaps again.
    fn say(&mut self, name: &'static str) {
        let mut said = Vec::new();
        for (id, job) in &self.hands[name].jobs {
            said.push((id.clone(), job.unacked.clone(), job.newest, job.end));
        }
        for (id, unacked, newest, end) in said {
            for update in [Update::Accepted, Update::Running] {
                self.world.engine.on_update(self.world.now, &node(name), &id, update);
            }
            for (sequence, partial) in unacked {
                if !self.calm && self.dice.one_in(10) {
                    break;
                }
                self.world.tell_as(name, &id, sequence, &partial);
                self.look();
            }
            if let Some(outcome) = end {
                self.world.end(name, &id, outcome, newest);
            }
            self.world.settle();
            self.look();
        }
    }

    fn pass(&mut self, time: Duration) {
        let heard: Vec<&str> = self
            .hands
            .iter()
            .filter(|(_, hand)| hand.attached && !hand.hangs)
            .map(|(name, _)| *name)
            .collect();
        self.world.pass(time, &heard);
        self.look();
    }

    fn wild(&mut self) {
        let name = self.dice.pick(&WORKERS);
        let (attached, hangs) = (self.hands[name].attached, self.hands[name].hangs);
        match self.dice.roll(100) {
            0..=19 => {
                let time = u32::try_from(1 + self.dice.roll(12)).unwrap() * 100 * MS;
                self.pass(time);
            }
            20..=22 if attached => self.detach(name),
            20..=26 if !attached => self.attach(name),
            27..=28 => {
                if attached {
                    self.detach(name);
                }
                let hand = self.hands.get_mut(name).unwrap();
                hand.incarnation += 1;
                hand.jobs.clear();
            }
            29..=30 => self.hands.get_mut(name).unwrap().hangs = !hangs,
            31 if attached => drop(self.world.engine.drain(self.world.now, &node(name))),
            32..=34 if attached => drop(self.world.engine.cordon(self.world.now, &node(name), false)),
            35 => self.lead_anew(),
            36..=37 => {
                let rows_per_second = Some(u32::try_from(self.dice.roll(1000)).unwrap());
                let change = db_sync::Change { rows_per_second, ..db_sync::Change::default() };
                let run = self.runs[usize::try_from(self.dice.roll(2)).unwrap()].clone();
                // A run that has ended takes no change.
                drop(self.world.engine.change_run(self.world.now, &run, &Change::DbSync(change)));
            }
            38..=60 if attached && !hangs => self.read(name),
            // A worker without a stream goes on with its work.
            38..=79 if !hangs => self.work(name),
            _ if attached && !hangs => self.say(name),
            _ => {}
        }
        self.world.settle();
        self.look();
    }

    fn lead_anew(&mut self) {
        let going: Vec<RunId> = self
            .runs
            .iter()
            .filter(|run| self.world.engine.view(self.world.now, run).is_some())
            .cloned()
            .collect();
        let told = std::mem::take(&mut self.world.told);
        assert!(told.is_empty(), "all was looked at");
        self.world = self.world.taken_over(&going.iter().collect::<Vec<_>>());
        self.look();
        for name in WORKERS {
            if self.hands[name].attached {
                self.attach(name);
            }
        }
    }

    /// Everybody is well again.
    fn calm_down(&mut self) {
        self.calm = true;
        for name in WORKERS {
            self.hands.get_mut(name).unwrap().hangs = false;
            if !self.hands[name].attached {
                self.attach(name);
            }
            self.world.engine.cordon(self.world.now, &node(name), false).unwrap();
            self.world.settle();
            self.look();
        }
        for _ in 0..CALM_STEPS {
            for name in WORKERS {
                while !self.hands[name].inbox.is_empty() {
                    self.read(name);
                }
                self.work(name);
                self.say(name);
            }
            self.pass(100 * MS);
            if self.world.engine.active_runs() == 0 {
                return;
            }
        }
        panic!("the runs do not end: {:?}", self.shards);
    }

    fn check_the_end(&self) {
        for run in &self.runs {
            let record = stored_run(&self.world, run).run;
            assert_eq!((record.state, record.reason.as_str()), (RunState::Succeeded, ""));
            let target = &self.targets[run];
            let names = self.names.iter().filter(|(of, _)| of == run).count();
            // Plan, finish, close, and each range once.
            assert_eq!(names, 3 + target.ranges.len());
            assert!(target.ranges.values().all(|range| range.left == 0));
            let rows: u64 = target.ranges.values().map(|range| range.rows).sum();
            let Some(Report::DbSync(report)) = record.report else { panic!("no report") };
            assert_eq!(report.rows, rows);
        }
        assert!(self.shards.values().all(|(_, state)| *state == ShardState::Done));
        assert!(self.out.is_empty());
    }
}

#[test]
fn whatever_happens_each_shard_is_done_once_within_the_caps_and_the_runs_end() {
    let (mut cut, mut most) = (0, 0);
    for seed in 1..=SEEDS {
        let ran = std::panic::catch_unwind(|| {
            let mut life = Life::new(seed);
            for _ in 0..WILD_STEPS {
                life.wild();
            }
            life.calm_down();
            life.check_the_end();
            let ranges: usize = life.targets.values().map(|target| target.ranges.len()).sum();
            (ranges > 2 * PARTS as usize, life.most)
        });
        match ran {
            Ok((was_cut, out)) => (cut, most) = (cut + u32::from(was_cut), most.max(out)),
            Err(panic) => {
                eprintln!("seed {seed}");
                std::panic::resume_unwind(panic);
            }
        }
    }
    assert!(cut > 0 && most == CAPS[1], "the lives were too quiet: {cut} with cuts, {most} at once");
}
