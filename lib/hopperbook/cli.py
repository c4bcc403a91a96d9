"""The command ``hopperbook``: build a report, size a model, compare parts, make a plan, check predictions."""

from __future__ import annotations

import errno
import json
import os
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from hopperbook import facts
from hopperbook.errors import Failed, InputError
from hopperbook.reads import STARTED_S
from hopperbook.report import commands

if TYPE_CHECKING:
    from hopperbook import customer as customers

ROOT = facts.DATA.parent
REPORTS = Path("reports")

PATH = click.Path(path_type=Path)
CUSTOMER_FILE = click.argument("customer", type=PATH, help="The customer's YAML file")
CUSTOMER = click.option("--customer", "-c", type=PATH, help="The customer's YAML file; default: the book's")
SET = click.option("--set", "set_", multiple=True, help="FIELD=VALUE: change a field of the customer's file")
TRACE = click.option(
    "--trace", type=PATH, help="CSV of requests (time, prompt, output), plain or gzip, used instead of the busy hour"
)
PARTS = click.option("--parts", help="GPUs to choose from, separated by commas; default: those of the customer's file")
AS_JSON = click.option("--json", "json_", is_flag=True, help="Print JSON")
MODEL = click.option("--model", required=True, help="Hugging Face id, short name, or path of a config.json")


@click.group(context_settings={"show_default": True})
@click.option("--quiet", "-q", is_flag=True, help="Print answers and errors, nothing on the way")
@click.option("--verbose", "-v", is_flag=True, help="Print each step as a line of JSON")
def app(quiet: bool, verbose: bool) -> None:
    """Which GPUs to buy or rent, computed from sourced facts."""
    from hopperbook.report import log

    log.show(verbose, quiet)


@app.group()
def prices() -> None:
    """Rental prices: show them with their age, import quotes."""


def _print_json(value: Any) -> None:
    print(json.dumps(value, indent=1, allow_nan=False, default=_plain))


def _plain(value: Any) -> Any:
    return value.item() if hasattr(value, "item") else value.tolist() if hasattr(value, "tolist") else str(value)


def _table(rows: list[dict[str, Any]], title: str = "") -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(title=title or None, header_style="bold")
    for name in rows[0]:
        numeric = all(isinstance(row[name], int | float) for row in rows)
        table.add_column(name, justify="right" if numeric else "left", overflow="fold")
    for row in rows:
        table.add_row(*("" if v is None else f"{v:g}" if isinstance(v, float) else str(v) for v in row.values()))
    width = None if sys.stdout.isatty() else 1000  # a row a line, for whoever reads it by a program
    Console(width=width, markup=False, highlight=False).print(table)


def _load(path: Path | None, sets: Sequence[str] = (), parts: str | None = None) -> customers.Customer:
    from hopperbook import customer as customers
    from hopperbook.report import given

    overrides = dict(customers.parse_override(text) for text in sets)
    if parts is not None:
        overrides["parts"] = parts if parts.strip() else ","
    return given.load(path or facts.DATA / "customers" / "default.yaml", overrides)


@app.command()
@CUSTOMER
@SET
@TRACE
@PARTS
@click.option("--out", type=PATH, help="Folder of the report; default: reports/<customer>")
@click.option("--words", type=PATH, help="Catalogue FILE.po of another language (hopperbook words extract)")
@AS_JSON
@click.option("--profile", is_flag=True, help="Say how long each step took")
def build(
    customer: Path | None,
    set_: tuple[str, ...],
    trace: Path | None,
    parts: str | None,
    out: Path | None,
    words: Path | None,
    json_: bool,
    profile: bool,
) -> None:
    """Build a report: the published book, or a customer's."""
    from hopperbook import report
    from hopperbook.report import given, log, look

    started = time.perf_counter() - STARTED_S
    who = _load(customer, (*set_, f"language={words.absolute()}") if words else set_, parts)
    if trace:
        from hopperbook import planner

        who = planner.of_trace(who, trace).customer
    target = out or given.place(REPORTS, who.name)
    begun = time.perf_counter()
    index = report.build(who.model_dump(), target, progress=not json_ and not log.is_quiet() and sys.stderr.isatty())
    if profile:
        steps = [("start and imports", started), *log.profile(), ("the whole build", time.perf_counter() - begun)]
        commands.table([{"step": step, "seconds": seconds} for step, seconds in steps])
    if json_:
        _print_json({"customer": who.name, "report": str(index), "digest": who.digest()})
    else:
        print(f"The report of {who.name} is ready: open {index}")
        for sentence in filter(None, (look.said(who.model_dump()),)):
            print(sentence)


def _writable(path: Path) -> None:
    """Refuse a file whose folder is not there, before any work is done."""
    if path.is_dir() or not path.absolute().parent.is_dir():
        raise InputError("file", str(path), "a file in a folder that exists")


@app.command()
@MODEL
@click.option("--gpu", help="GPU; default: every GPU")
@click.option("--concurrency", default=1, help="Requests in flight")
@click.option(
    "--context", type=int, help="Tokens a request holds, prompt and answer; default: 8192 or what the model allows"
)
@click.option("--output", type=int, help="Tokens of an answer; default: an eighth of the context")
@click.option("--precision", help="Weights; default: as the checkpoint stores them")
@click.option("--kv-precision", help="KV cache; default: 16 bits")
@click.option("--tp", type=int, help="Tensor parallel; default: the fewest GPUs that hold the load")
@click.option("--adapters", default=0, help="LoRA adapters that each replica holds beside the model")
@click.option("--adapter-rank", default=16, help="Their rank")
@AS_JSON
def size(
    model: str,
    gpu: str | None,
    concurrency: int,
    context: int | None,
    output: int | None,
    precision: str | None,
    kv_precision: str | None,
    tp: int | None,
    adapters: int,
    adapter_rank: int,
    json_: bool,
) -> None:
    """Size one model on one GPU, or on every GPU: memory, GPUs needed, latency."""
    from hopperbook import sizing

    answer = sizing.size(
        model,
        gpu,
        concurrency=concurrency,
        context_tokens=context,
        output_tokens=output,
        precision=precision,
        kv_precision=kv_precision,
        tp=tp,
        adapters=adapters,
        adapter_rank=adapter_rank,
    )
    if json_:
        _print_json(answer)
    else:
        print(sizing.sentence(answer))
        _table(sizing.rows(answer))


@app.command()
@MODEL
@click.option("--gpus", "--parts", help="GPUs, separated by commas; those of the map by default")
@click.option("--concurrency", default=32, help="Requests in flight")
@click.option("--context", default=4096, help="Tokens a request holds, prompt and answer")
@AS_JSON
def compare(model: str, gpus: str | None, concurrency: int, context: int, json_: bool) -> None:
    """Compare GPUs on the same load: what each needs, how fast it answers, what it costs."""
    from hopperbook import facts, sizing

    names = list(facts.drawn()) if gpus is None else [name.strip() for name in gpus.split(",") if name.strip()]
    if not names:
        raise InputError("gpus", gpus, "names of GPUs, separated by commas", ",".join(facts.drawn()))
    sized = (sizing.size(model, name, concurrency=concurrency, context_tokens=context) for name in names)
    rows = [sizing.rows(answer, priced=True)[0] for answer in sized]
    if json_:
        _print_json(rows)
    else:
        _table(rows, f"{model}, {concurrency} requests of {context:,} tokens, rented on demand")


@app.command()
@CUSTOMER_FILE
@SET
@PARTS
@click.option("--with", "also", type=PATH, multiple=True, help="Another service's file: plan both on one fleet")
@TRACE
@click.option("--xlsx", type=PATH, help="Write the bill as a workbook with live formulas")
@AS_JSON
def plan(
    customer: Path,
    set_: tuple[str, ...],
    parts: str | None,
    also: tuple[Path, ...],
    trace: Path | None,
    xlsx: Path | None,
    json_: bool,
) -> None:
    """Say what to buy or rent, the alternatives, and why each other choice was rejected."""
    from hopperbook import customer as customers
    from hopperbook import planner

    if also and trace:
        raise InputError("trace", str(trace), "one service's, not that of several on one fleet")
    if xlsx and (also or trace):
        raise InputError("xlsx", str(xlsx), "the bill of one customer's file, without --with and --trace")
    if xlsx:
        _writable(xlsx)
    if also:
        _plan_together([_load(customer, set_, parts), *(_load(path, parts=parts) for path in also)], json_)
        return
    who = _load(customer, set_, parts)
    if trace:
        with _progress(not json_ and sys.stderr.isatty()) as tell:
            done = planner.plan_for_trace(who, trace, tell)
        found, said = planner.traced_json(done), planner.traced_text(done)
    else:
        made = planner.plan(who)
        found, said = planner.as_json(made), planner.as_text(made)
    if xlsx:
        from hopperbook import workbook

        workbook.write(workbook.bill(made), xlsx)
    if json_:
        _print_json(found)
    else:
        print("\n".join(filter(None, (said, customers.rate_words(who)))))


@app.command()
@CUSTOMER_FILE
@SET
@click.option("--out", type=PATH, default=Path("deploy"), help="Folder of the files")
def deploy(customer: Path, set_: tuple[str, ...], out: Path) -> None:
    """Write the files that start the plan: the engine's command, a manifest, MIG, a training job, a replay."""
    from hopperbook.deploy.files import write

    written = write(_load(customer, set_), out)
    if not written:
        raise InputError("customer", customer.name, "a load that some configuration serves: nothing is recommended")
    print("\n".join(str(path) for path in written))


@app.command()
@CUSTOMER_FILE
@TRACE
@SET
@click.option("--replicas", type=int, help="Replicas; default: as many as planned")
@click.option("--routing", help="round_robin, least_loaded or by_session; default: as planned")
@click.option("--seed", default=0, help="Seed of the random traffic")
@AS_JSON
def simulate(
    customer: Path,
    trace: Path | None,
    set_: tuple[str, ...],
    replicas: int | None,
    routing: str | None,
    seed: int,
    json_: bool,
) -> None:
    """Simulate the fleet planned for the busy hour, or for a trace of requests, in it, and compare with the targets."""
    from hopperbook import planner

    who = _load(customer, set_)
    with _progress(not json_ and sys.stderr.isatty()) as tell:
        if trace:
            done = planner.rehearse_trace(who, trace, replicas, routing, tell)
        else:
            done = planner.rehearse(who, replicas, routing, seed, tell)
    if json_:
        _print_json(planner.rehearsal_json(done))
    else:
        print(planner.rehearsal_text(done))


@contextmanager
def _progress(shown: bool) -> Iterator[Callable[[str, float], None]]:
    """Show a bar for each thing that is done, while it is done; yield what moves them."""
    from rich.console import Console
    from rich.progress import Progress, TaskID

    bars: dict[str, TaskID] = {}
    with Progress(console=Console(stderr=True), transient=True, disable=not shown) as progress:

        def tell(doing: str, share: float) -> None:
            if doing not in bars:
                bars[doing] = progress.add_task(doing)
            progress.update(bars[doing], total=1.0 if share else None, completed=share)

        yield tell


def _plan_together(services: list[customers.Customer], json_: bool) -> None:
    """Print what several services need on one fleet, part by part."""
    from hopperbook import customer as customers
    from hopperbook.planner.together import as_rows, together

    customers.show_money(services[0])
    found = as_rows(together(services))
    if json_:
        _print_json(found)
    elif found:
        _table(found, f"{len(services)} services on one fleet, the cheapest part first")
    else:
        print("No part carries all services within their targets.")


@app.command()
@click.argument("rows", type=PATH, help="CSV of measurements, plain or gzip")
@AS_JSON
@click.option("--chart", type=PATH, help="Write predicted against measured as SVG")
def evidence(rows: Path, json_: bool, chart: Path | None) -> None:
    """Predict your measurements and say how far off the predictions are."""
    from hopperbook import evidence as ev

    if chart:
        _writable(chart)
    answer = ev.answer(rows)
    if chart:
        from hopperbook.charts import predicted_measured
        from hopperbook.report.svg import write

        write(predicted_measured(ev.scatter(answer)), chart)
    if json_:
        _print_json(answer)
    elif answer["summary"]:
        _table([{k: _short(v) for k, v in row.items()} for row in answer["summary"]])
    else:
        print("No row asks for a quantity that can be predicted.")


def _short(value: Any) -> Any:
    return round(value, 4) if isinstance(value, float) else value


@app.command(name="facts")
@click.argument("table", help="gpus, systems, fabrics, prices, models, ...")
@AS_JSON
def facts_(table: str, json_: bool) -> None:
    """Print a table of facts, each row with its source."""
    from hopperbook import sizing

    rows = sizing.model_rows() if table == "models" else facts.as_json(table)
    if json_:
        _print_json(rows)
    else:
        keep = [k for k, v in rows[0].items() if not isinstance(v, dict | list)]
        _table([{k: row.get(k) for k in keep} for row in rows])


@prices.command("show")
@click.option("--as-of", default="", help="Day of the prices, YYYY-MM-DD; default: that of the newest quote")
@AS_JSON
def prices_show(as_of: str, json_: bool) -> None:
    """Print what each part rents for on a day: range, providers, dates of their quotes, and age."""
    day = _load(None, [f"as_of={as_of}"] if as_of else []).as_of or facts.newest_price_date()
    rows = facts.price_summary(day).to_dict("records")
    if not rows:
        raise InputError("as_of", as_of, "a day with quotes on file", facts.newest_price_date())
    shown: list[dict[str, Any]] = [
        {
            "GPU": row["gpu"], "market": row["market"], "tenure": row["tenure"], "low": round(row["low"], 2),
            "USD/GPU-h": round(row["typical"], 2), "high": round(row["high"], 2), "providers": row["count"],
            "quotes of": row["date"], "days old": facts.age_days(row["date"], day),
        }
        for row in rows
    ]  # fmt: skip
    if json_:
        _print_json(shown)
    else:
        _table(shown, f"Rental prices as of {day}")


@prices.command("import")
@click.argument("path", type=PATH, help="CSV: provider, gpu, usd_per_gpu_hour, date, ...")
@AS_JSON
def prices_import(path: Path, json_: bool) -> None:
    """Take quotes into data/prices.csv, all rows or none, and say which prices moved."""
    from datetime import date

    from hopperbook.facts import quotes

    moved = [change._asdict() for change in quotes.take_in(path, date.today())]
    rows = [{name: facts.finite(value) for name, value in row.items()} for row in moved]
    if json_:
        _print_json(rows)
    else:
        _table(rows, "USD per GPU-hour, before and after")


@app.command()
def schema() -> None:
    """Print the JSON Schema of a customer's file."""
    from hopperbook import customer as customers

    _print_json(customers.schema())


@app.command()
@click.argument("path", type=PATH, help="File to write")
def new(path: Path) -> None:
    """Ask for a customer's load and write the file."""
    from hopperbook import customer as customers

    if path.exists():
        raise InputError("file", str(path), "a file that does not exist yet")
    _writable(path)
    values: dict[str, Any] = {}
    asked: dict[str, tuple[str, str | float]] = {
        "name": ("Your name", "My Company"),
        "model": ("Model served (Hugging Face id or short name)", "meta-llama/Llama-3.3-70B-Instruct"),
        "concurrency": ("Users at once at the busy hour", 32),
        "think_time_s": ("Seconds between an answer and the next request (0 = users are requests in flight)", 0.0),
        "prompt_tokens": ("Tokens of a typical prompt", 2048),
        "output_tokens": ("Tokens of a typical answer", 512),
        "tpot_target_ms": ("Milliseconds a token, at most", 60.0),
        "training_task": ("What is trained (none, pretrain, sft, lora, dpo, grpo, distill)", "none"),
        "budget_usd_per_month": ("Budget, USD a month (0 = not stated)", 0.0),
    }
    for field, (question, default) in asked.items():
        _ask(values, field, question, default)
    if values["training_task"] != "none":
        _ask(values, "training_tokens", "Tokens of the training run", 1e9)
        _ask(values, "training_deadline_days", "Days until it must be done", 30.0)
    checked = customers.check(values)
    import yaml

    chosen = {field: getattr(checked, field) for field in values}
    path.write_text(yaml.safe_dump(chosen, sort_keys=False, allow_unicode=True), encoding="utf-8")
    command = "hopperbook" if shutil.which("hopperbook") else os.path.relpath(sys.argv[0])
    print(f"Wrote {path}; build it with: {command} build --customer {path}")


def _ask(values: dict[str, Any], field: str, question: str, default: str | float) -> None:
    """Ask for a field, again in a terminal for as long as it cannot be used with those before it."""
    from hopperbook import customer as customers

    while True:
        values[field] = click.prompt(question, default=default, type=type(default))
        try:
            customers.check({"model": customers.default().model, **values})
            return
        except InputError as error:
            if error.field not in values or not sys.stdin.isatty():
                raise
            print(f"hopperbook: {error}", file=sys.stderr)


@app.command()
@click.argument("folder", type=PATH, default=REPORTS / "lingua-shop", help="Folder of a report")
@click.option("--port", type=click.IntRange(0, 65535), default=8000)
def serve(folder: Path, port: int) -> None:
    """Serve a built report on this machine."""
    from hopperbook.report import web

    server = web.server(folder, port)
    print(f"Serving {folder} at http://127.0.0.1:{server.server_address[1]}/ (Ctrl-C stops)", flush=True)
    try:
        server.serve_forever()
    finally:
        server.server_close()


@app.command()
@click.argument("only", nargs=-1, help="Numbers or names of chapters, such as 06; all by default")
def chapters(only: tuple[str, ...]) -> None:
    """Execute the chapters for the default customer and store their outputs in chapters/."""
    from hopperbook import customer as customers
    from hopperbook import report

    report.store_outputs(customers.default().model_dump(), only=only)


@app.command()
@click.argument("folder", type=PATH, nargs=-1, help="Built reports; default: two customers are built")
@click.option("--browser", is_flag=True, help="Open every page in headless Chromium too")
@click.option("--screenshots", type=PATH, help="Folder for screenshots")
def check(folder: tuple[Path, ...], browser: bool, screenshots: Path | None) -> None:
    """Check built reports: links, resources, and in a browser."""
    from hopperbook import customer as customers
    from hopperbook import report
    from hopperbook.report import given

    folders = list(folder)
    if not folders:
        for name in ("default", "inference-saas"):
            who = customers.load(facts.DATA / "customers" / f"{name}.yaml")
            folders.append(given.place(REPORTS, who.name))
            report.build(who.model_dump(), folders[-1])
    for built in folders:
        problems = report.check(built, browser=browser, screenshots=screenshots)
        for problem in problems:
            print(problem, file=sys.stderr)
        if problems:
            raise InputError("report", str(built), f"a report without problems; this one has {len(problems)}")
        print(f"{built}: every link resolves" + (", every page opens without error" if browser else ""))


@app.command()
@click.argument("what", default="all", help="serving, interconnect, training, intervals, parts, draw or all")
@click.option("--with", "with_", type=PATH, help="CSV of your own runs, used instead of ours")
@click.option("--out", type=PATH, default=Path("mine.yaml"), help="File for the constants of your own runs")
def calibrate(what: str, with_: Path | None, out: Path) -> None:
    """Fit the constants to the rows marked fit and store them in data/constants; or to your own runs (--with)."""
    from hopperbook import calibrate as fitting

    if with_ is None:
        fitting.run(what)
        return
    _writable(out)
    made = fitting.fit_own(with_, out)
    lines = [
        {"quantity": q, "before": f"{made['before'][q]:.1%}", "after": f"{made['after'][q]:.1%}"}
        for q in made["before"]
    ]
    _table(lines, f"Median error on {made['held_out']} rows held out, {made['rows']} fitted: {made['verdict']}")
    if made["calibration"]:
        print(f"{out}: copy its line `calibration:` into a customer's file, or build --set it")


commands.register(app)
#: Errors of the operating system that say that a place named by the user cannot be used; others are failures.
UNUSABLE = {errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.ENAMETOOLONG, errno.EACCES, errno.EPERM, errno.EROFS}
UNUSABLE |= {errno.ELOOP, errno.EINVAL, errno.EEXIST, errno.ENXIO}


def main(arguments: list[str] | None = None) -> None:
    """Run the command: 0 when done, 1 when it failed, 2 for bad input, 130 when stopped; each time in one sentence."""
    given = sys.argv[1:] if arguments is None else arguments
    command = next((word for word in given if not word.startswith("-")), "")
    stopped = "stopped" + ("; the same command goes on with what is not finished" if command == "batch" else "")
    try:
        with app.make_context("hopperbook", list(given)) as context:
            app.invoke(context)
    except Failed as error:
        _end(str(error), 1)
    except InputError as error:
        _end(str(error), 2)
    except (click.Abort, KeyboardInterrupt):
        _end(stopped, 130)
    except click.exceptions.NoArgsIsHelpError as error:
        print(error.ctx.get_help() if error.ctx else error)
    except click.ClickException as error:
        _end(error.format_message(), 2)
    except BrokenPipeError:
        sys.exit(1)
    except OSError as error:
        _end(_system(error), 2 if error.errno in UNUSABLE else 1)
    except MemoryError:
        _end("there is not enough memory", 1)
    except click.exceptions.Exit as end:
        if end.exit_code:
            sys.exit(end.exit_code)


def _system(error: OSError) -> str:
    """Return what the operating system complains of, and about which file."""
    name = str(error.filename or "")
    shown = name if len(name) <= 80 else f"{name[:40]}...{name[-30:]}"
    return ": ".join(filter(None, (shown, error.strerror or type(error).__name__)))


def _end(sentence: str, status: int) -> None:
    print("hopperbook: " + " ".join(sentence.split()), file=sys.stderr)
    sys.exit(status)
