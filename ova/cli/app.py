"""The commands of the flow, the options before every command, and `main`, which turns errors into exit codes.

Nothing heavy is imported before a command needs it, so that `ova --help` answers at once.
"""

from __future__ import annotations

import logging
import sys
import traceback
from pathlib import Path
from typing import Annotated

import typer

import ova
from ova.cli import data, init, runs
from ova.cli.memory import keep_freed_memory
from ova.cli.render import console
from ova.cli.render import heads as render_heads
from ova.cli.render import predictions as render_predictions
from ova.cli.render import trunks as render_trunks
from ova.cli.session import Json, session
from ova.errors import OvaError, PartialError, RecipeError
from ova.workspace import Workspace

app = typer.Typer(
    help="One binary model per class, calibrated, merged into one file, and honest about how good each is.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.add_typer(data.app, name="data")

Heads = Annotated[list[str] | None, typer.Argument(help="Names of heads; all if none is given.")]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:N or mps.")]


def _show_version(wanted: bool) -> None:
    if wanted:
        console.show_lines([f"ova {ova.__version__}"])
        raise typer.Exit


@app.callback()
def _options(
    folder: Annotated[Path, typer.Option("-C", help="Work in this workspace.", metavar="DIR")] = Path(),
    quiet: Annotated[bool, typer.Option("-q", "--quiet", help="No progress, no notes.")] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
    version: Annotated[bool, typer.Option("--version", callback=_show_version, is_eager=True)] = False,
) -> None:
    session.folder, session.quiet, session.debug = folder, quiet, debug
    logging.basicConfig(level=logging.INFO if debug else logging.CRITICAL, stream=sys.stderr)


@app.command()
def demo(
    folder: Annotated[Path, typer.Argument(help="Where to put the demo workspace.")] = Path("ova-demo"),
) -> None:
    """Run the whole flow on generated solar cells, in a couple of minutes on two cores."""
    from ova.demo import run_demo

    keep_freed_memory()
    with session.progress() as progress, console.stop_on_signal() as stop:
        result = run_demo(folder, progress=progress, should_stop=stop)
    render_heads.outcome_errors(result.outcomes)
    render_heads.analysis(result.report, "solar-cell")
    console.show_lines(result.lines())


app.command()(init.init)


@app.command()
def train(
    heads: Heads = None,
    jobs: Annotated[int, typer.Option(min=1, help="Heads to train side by side.")] = 1,
    device: Device = "auto",
    again: Annotated[bool, typer.Option("--again", help="Train anew what has not changed, too.")] = False,
    track: Annotated[list[str] | None, typer.Option(help="tensorboard or mlflow; repeat it.")] = None,
    as_json: Json = False,
) -> None:
    """Train the named heads, or all: score and calibrate them too. Goes on where it was interrupted."""
    from ova.ensembles.train import train_heads

    keep_freed_memory()
    workspace = session.workspace()
    with session.progress() as progress, console.stop_on_signal() as stop:
        outcomes = train_heads(
            workspace,
            heads or (),
            jobs=jobs,
            device=device,
            again=again,
            trackers=track or (),
            progress=progress,
            should_stop=stop,
        )
    render_heads.outcomes(outcomes, as_json=as_json)
    render_heads.outcome_errors(outcomes)


@app.command()
def calibrate(
    heads: Heads = None,
    head: Annotated[list[str] | None, typer.Option("--head", help="A head; repeat it.")] = None,
    unlabeled: Annotated[
        Path | None,
        typer.Option(help="Scores (ova predict --csv) of images without labels: adapt the prior."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Fit thresholds and probabilities again from stored scores: no training, no accelerator."""
    from ova.heads.calibration.calibrate_run import calibrate_heads

    heads = [*(heads or ()), *(head or ())]
    if unlabeled is not None:
        from ova.heads.calibration.drift import adapt_heads

        render_heads.drifts(adapt_heads(session.workspace(), unlabeled, heads), as_json=as_json)
        return
    render_heads.calibrations(calibrate_heads(session.workspace(), heads), as_json=as_json)


@app.command()
def export(
    ensemble: Annotated[str, typer.Argument(help="Name of the ensemble.")],
    best: Annotated[bool, typer.Option("--best", help="Take each head's best run by validation.")] = False,
    by: Annotated[str, typer.Option(help="Of --best: average-precision or log-loss.")] = "average-precision",
    as_json: Json = False,
) -> None:
    """Write the combined model of an ensemble as one ONNX file, loaded again and compared."""
    from ova.ensembles.export.export import export as write_model
    from ova.heads.selection import read_criterion

    with session.progress() as progress:
        chosen = read_criterion(by) if best else None
        report = write_model(session.workspace(), ensemble, best=chosen, progress=progress)
    render_heads.exported(report, as_json=as_json)
    render_heads.absent_heads(report.manifest)


@app.command()
def analyse(
    names: Annotated[list[str] | None, typer.Argument(help="An ensemble, or heads.")] = None,
    heat_maps: Annotated[
        bool, typer.Option("--heat-maps", help="Show where the heads looked in their mistakes.")
    ] = False,
    baselines: Annotated[
        bool, typer.Option("--baselines", help="Train classical models on small grey images, to compare.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Show how good each head is on its test rows, with intervals, and write a page, tables and curves."""
    from ova.analysis.analyse import analyse_any

    with session.progress() as progress:
        report = analyse_any(
            session.workspace(), names or [], progress, heat_maps=heat_maps, baselines=baselines
        )
    if as_json:
        console.show_json(report.analysis.to_json())
        return
    render_heads.analysis(report, report.analysis.ensemble or "heads")


app.command()(runs.compare)
app.command()(runs.tune)


@app.command()
def predict(
    model: Annotated[Path, typer.Argument(help="model.onnx, its folder, or an ensemble of the workspace.")],
    images: Annotated[list[Path], typer.Argument(help="Image files or folders.")],
    as_json: Json = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print the result as CSV on stdout.")] = False,
) -> None:
    """Label files or folders with a combined model."""
    from ova.ensembles.runtime.image_files import find_images
    from ova.ensembles.runtime.model import CombinedModel

    if as_json and as_csv:
        raise RecipeError("--json and --csv exclude each other; give one")
    if not model.exists() and len(model.parts) == 1:
        model = session.workspace().ensemble_output(model.name)
    combined = CombinedModel.load(model)
    files = find_images(images)
    with session.progress() as progress:
        for absent in combined.manifest.absent:
            progress.say(f"the model is without {absent.name}: {absent.reason}")
        predictions = render_predictions.watch(combined.predict(files), len(files), progress)
        failed = render_predictions.show(combined, predictions, as_json=as_json, as_csv=as_csv)
    if failed:
        raise PartialError(f"{len(failed)} of {len(files)} images were not read: {failed[0].error}")


@app.command()
def trunks(
    fetch: Annotated[
        list[str] | None, typer.Option(help="Write this backbone's weights to a file; repeat it.")
    ] = None,
    to: Annotated[Path | None, typer.Option(help="Of --fetch: the folder of the files.")] = None,
    as_json: Json = False,
) -> None:
    """List pretrained trunks that need no network, or fetch some as files for a machine without one."""
    from ova.heads.network.trunks_at_hand import trunks_at_hand

    if bool(fetch) != bool(to):
        raise RecipeError("--fetch NAME and --to FOLDER go together; give both")
    if not fetch or to is None:
        render_trunks.at_hand(trunks_at_hand(Workspace(session.folder)), as_json=as_json)
        return
    from ova.heads.network.pretrained import fetch_trunk

    render_trunks.fetched([fetch_trunk(name, to) for name in fetch], as_json=as_json)


@app.command("list")
def list_all(as_json: Json = False) -> None:
    """List heads and ensembles with their state and figures."""
    from ova.ensembles.status import ensemble_statuses
    from ova.heads.status import head_statuses

    workspace = session.workspace()
    heads = head_statuses(workspace)
    ensembles = ensemble_statuses(workspace, {head.name: head for head in heads})
    render_heads.statuses(heads, ensembles, as_json=as_json)


def main() -> None:
    """Run the command line; every error of `ova` becomes one line on stderr and its exit code."""
    try:
        app(prog_name="ova")
    except OvaError as error:
        _complain(f"ova: {error}")
        sys.exit(error.exit_code)
    except Exception as error:  # what nobody foresaw is a bug, and is told as one
        first = (str(error).splitlines() or [""])[0]
        _complain(f"ova: a bug in ova: {type(error).__name__}: {first}; show it with: ova --debug ...")
        sys.exit(1)


def _complain(line: str) -> None:
    if session.debug:
        traceback.print_exc()
    sys.stderr.write(f"{line}\n")
