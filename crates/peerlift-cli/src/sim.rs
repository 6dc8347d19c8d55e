//! `peerlift sim`: plays scenarios and shows their figures.

use std::path::Path;

use peerlift_sim::svg::{Chart, Series};
use peerlift_sim::{
    Outcome, Plan, Scenario, Summary, Trace, library, named, on_all_cores, run_beside_twin, study,
};

use crate::args::{SimArgs, SimCommand, SimRunArgs};
use crate::console::{Console, print, print_json};
use crate::failure::{Exit, Failure};

/// Seeds that are played at the same time.
const SEEDS_AT_ONCE: usize = 4;

/// Does what was asked of the simulator.
pub(crate) fn run(args: &SimArgs, console: &Console) -> Result<Exit, Failure> {
    match &args.command {
        SimCommand::List => list(),
        SimCommand::Show { name } => show(name),
        SimCommand::Run(args) => run_scenario(args, console),
        SimCommand::Report { dir, only } => report(dir, only.as_deref(), console),
    }
}

fn list() -> Result<Exit, Failure> {
    let mut lines = String::new();
    for scenario in library().filter_map(|(name, _)| named(name)) {
        lines += &format!("{:18} {}\n", scenario.name, scenario.about);
    }
    print(lines)?;
    Ok(Exit::Fine)
}

fn show(name: &str) -> Result<Exit, Failure> {
    let found = library().find(|(known, _)| *known == name);
    let (_, text) = found.ok_or_else(|| unknown(name))?;
    print(text)?;
    Ok(Exit::Fine)
}

fn run_scenario(args: &SimRunArgs, console: &Console) -> Result<Exit, Failure> {
    let mut scenario = scenario(&args.scenario)?;
    scenario.model = args.model.unwrap_or(scenario.model);
    let trace = args.trace.as_deref().map(trace).transpose()?;
    let plans = (args.seed..args.seed.saturating_add(args.seeds))
        .map(|seed| scenario.plan(seed, trace.as_ref()))
        .collect::<Result<Vec<Plan>, _>>()
        .map_err(|error| Failure::caused(Exit::Usage, &args.scenario, &error))?;
    let mut exit = Exit::Fine;
    // A few at a time, as all their downloads are in memory at once.
    for plans in plans.chunks(SEEDS_AT_ONCE) {
        let played = on_all_cores(plans, run_beside_twin);
        for (plan, (outcome, twin)) in plans.iter().zip(&played) {
            if !judge(args, plan, outcome, twin, console)? {
                exit = Exit::Other;
            }
        }
    }
    Ok(exit)
}

/// Shows what a run came to; says whether all is well.
fn judge(
    args: &SimRunArgs,
    plan: &Plan,
    outcome: &Outcome,
    twin: &Outcome,
    console: &Console,
) -> Result<bool, Failure> {
    let summary = Summary::of(plan, outcome, twin);
    tell(args, &summary, outcome)?;
    if let Some(file) = &args.svg {
        write(file, &completions(plan, outcome, twin).to_svg())?;
    }
    let well = summary.complaints.is_empty() && (!args.strict || summary.slower == 0);
    if !well {
        console.complain(format_args!(
            "something is wrong; again: peerlift sim run {} --seed {}",
            args.scenario, plan.seed
        ));
    }
    Ok(well)
}

fn tell(args: &SimRunArgs, summary: &Summary, outcome: &Outcome) -> Result<(), Failure> {
    if args.json {
        return print_json(summary);
    }
    if args.downloads {
        return outcome.records.iter().try_for_each(print_json);
    }
    print(summary)
}

fn report(dir: &Path, only: Option<&str>, console: &Console) -> Result<Exit, Failure> {
    std::fs::create_dir_all(dir).map_err(|error| cannot_write(dir, &error))?;
    let word = only.unwrap_or_default();
    for study in study::all().filter(|study| study.name.contains(word)) {
        console.say(format_args!("{}: {}", study.name, study.question));
        for file in study.play() {
            write(&dir.join(&file.name), &file.text)?;
        }
    }
    if only.is_none() {
        write(&dir.join("README.md"), &study::index())?;
    }
    Ok(Exit::Fine)
}

fn scenario(name: &str) -> Result<Scenario, Failure> {
    if let Some(scenario) = named(name) {
        return Ok(scenario);
    }
    let path = Path::new(name);
    if !path.exists() {
        return Err(unknown(name));
    }
    let text = read(path)?;
    Scenario::parse(&text).map_err(|error| Failure::caused(Exit::Usage, name, &error))
}

fn trace(path: &Path) -> Result<Trace, Failure> {
    let text = read(path)?;
    Trace::parse(&text).map_err(|error| Failure::caused(Exit::Usage, path.display(), &error))
}

fn read(path: &Path) -> Result<String, Failure> {
    std::fs::read_to_string(path)
        .map_err(|error| Failure::caused(Exit::Storage, path.display(), &error))
}

fn write(path: &Path, text: &str) -> Result<(), Failure> {
    std::fs::write(path, text).map_err(|error| cannot_write(path, &error))
}

fn cannot_write(path: &Path, error: &std::io::Error) -> Failure {
    Failure::caused(
        Exit::Storage,
        format_args!("cannot write {}", path.display()),
        error,
    )
}

fn unknown(name: &str) -> Failure {
    Failure::new(
        Exit::Usage,
        format!("{name}: no such scenario, no such file"),
    )
    .hint("`peerlift sim list` names those that come with the program")
}

/// How many downloads have finished after which own time, with peers and alone.
fn completions(plan: &Plan, outcome: &Outcome, twin: &Outcome) -> Chart {
    let curve = |name: &str, outcome: &Outcome| {
        let mut times: Vec<f64> = outcome.finished().map(|record| record.own_s).collect();
        times.sort_by(f64::total_cmp);
        let all = outcome.records.len().max(1) as f64;
        let points = times.iter().enumerate();
        Series {
            name: name.to_owned(),
            points: points
                .map(|(at, time)| (*time, (at + 1) as f64 / all))
                .collect(),
            joined: true,
            labels: Vec::new(),
        }
    };
    Chart {
        title: format!("{}, seed {}: finished downloads", plan.name, plan.seed),
        x_label: "seconds since their arrival".to_owned(),
        y_label: "share of all downloads".to_owned(),
        x_log: false,
        series: vec![curve("with peers", outcome), curve("edge alone", twin)],
        marks: Vec::new(),
    }
}
