//! Faults done to a real cluster while a load run and a sync go on; what must hold is judged from outside.
//!
//! A short selection always; all of them with `SHANTY_FAULTS=N`, each N times (`tests/run --faults` sets 1);
//! `SHANTY_FAULTS_ONLY=` with a name, or with a part of names, picks one or some; `SHANTY_FAULTS_TABLE=file` keeps the table.
//! An hour of noise with `SHANTY_NOISE=3600`.
//! In: etcd, PostgreSQL, namespaces. Out: a table. Only invariants and an end of all patience fail; figures are printed.

use shanty_tests::faults::{Fault, Stage, Table, all, noise, short, trial};
use shanty_tests::skip::left_out;
use std::time::{Duration, Instant};
use tokio::sync::Mutex;

/// One cluster at a time.
static ALONE: Mutex<()> = Mutex::const_new(());

fn number(name: &str) -> Option<u64> {
    let value = std::env::var(name).ok()?;
    Some(value.parse().unwrap_or_else(|_| panic!("{name}={value} is no number")))
}

/// Does faults one after the other on one stage; a stage that was spoilt is made anew.
async fn play(faults: &[Fault]) -> Option<Table> {
    let mut table = Table::default();
    let mut stage: Option<Stage> = None;
    for fault in faults {
        let mut on = match stage.take() {
            Some(stage) if !fault.settled => stage,
            spoilt => {
                drop(spoilt);
                Stage::start().await?
            }
        };
        if fault.needs_world() && !on.has_world() {
            table.absent(fault, "no network namespaces");
            stage = Some(on);
            continue;
        }
        let began = Instant::now();
        let outcome = trial(&mut on, fault).await;
        match &outcome {
            Ok(outcome) => eprintln!(
                "{:>2} {:<55} {:.2?} {:?} {:?} {:?} ({:.0?})",
                fault.row,
                fault.name,
                outcome.took.iter().max(),
                outcome.pace,
                outcome.shortfalls,
                outcome.breaches,
                began.elapsed()
            ),
            Err(why) => eprintln!("{:>2} {:<55} {why}\n{}", fault.row, fault.name, on.last_words()),
        }
        let spoilt = outcome.is_err();
        table.add(fault, outcome);
        if !spoilt {
            stage = Some(on);
        }
    }
    Some(table)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_few_faults_are_survived() {
    if number("SHANTY_FAULTS").is_some() || number("SHANTY_NOISE").is_some() {
        left_out("the short selection of faults", "the whole was asked for");
        return;
    }
    let _alone = ALONE.lock().await;
    let Some(table) = play(&short()).await else { return };
    eprintln!("{}", table.markdown());
    assert_eq!(table.breaches(), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_fault_is_survived() {
    let Some(times) = number("SHANTY_FAULTS") else {
        left_out("the whole matrix of faults", "tests/run --faults, or set SHANTY_FAULTS=1");
        return;
    };
    let _alone = ALONE.lock().await;
    let only = std::env::var("SHANTY_FAULTS_ONLY").unwrap_or_default();
    let mut chosen = all();
    match chosen.iter().find(|fault| fault.name == only) {
        Some(fault) => chosen = vec![*fault],
        None => chosen.retain(|fault| fault.name.contains(&only)),
    }
    let mut faults = Vec::new();
    for _ in 0..times {
        faults.extend_from_slice(&chosen);
    }
    let Some(table) = play(&faults).await else { return };
    let text = table.markdown();
    eprintln!("{text}");
    if let Some(file) = std::env::var_os("SHANTY_FAULTS_TABLE") {
        std::fs::write(&file, &text).expect("the table is written");
    }
    assert_eq!(table.breaches(), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn noise_ends_no_term() {
    let seconds = number("SHANTY_NOISE").or(number("SHANTY_FAULTS").map(|_| 60));
    let Some(seconds) = seconds else {
        left_out("a minute of noise", "tests/run --faults, or set SHANTY_NOISE=3600");
        return;
    };
    let _alone = ALONE.lock().await;
    let Some(heard) = noise(Duration::from_secs(seconds)).await else { return };
    eprintln!("noise: {heard:?}");
    assert_eq!(heard.new_terms, 0, "{heard:?}");
    assert!(heard.answered * 2 > heard.asked, "it was more than noise: {heard:?}");
}
