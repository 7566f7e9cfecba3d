"""Flags that several commands share. A flag that was not given is None and leaves the value to the other layers."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Annotated, Any, Literal

from foretell.cli.flag import Flag, Flags
from foretell.config import JobSettings, Layer, ModelSettings, ServerSettings
from foretell.errors import InvalidSetting


def shown(value: Any) -> str:
    """The value of a setting, for people."""
    if value is None:
        return "not set"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict):
        return ", ".join(f"{name}={number:.12g}" for name, number in value.items()) or "none"
    if isinstance(value, (tuple, list)):
        return ", ".join(map(str, value)) or "none"
    return f"{value:.12g}" if isinstance(value, float) else str(value)


@Flags("Model", ModelSettings)
@dataclass(frozen=True, kw_only=True)
class ModelFlags:
    device: str | None = None
    """Where the model runs: cpu, cuda, cuda:1; several with commas: cuda:0,cuda:1."""
    precision: str | None = None
    """Numbers it computes in: fp32, bf16, fp16 or int8, where it has them. If not set: as the file has it."""
    runtime: str | None = None
    """What runs an ONNX file: onnxruntime, openvino or tensorrt. If not set: the first."""
    compile: bool | None = None
    """Compile a PyTorch model with torch.compile."""
    model_class: str | None = None
    """"module:Class" that the weights in a .safetensors file belong to."""
    task: str | None = None
    """What a Hugging Face model is for, such as text-classification. If not set: what its folder tells."""
    batch_invariant: bool | None = None
    """Compute each row alike whatever rows are beside it, bit for bit."""
    optimizations: Annotated[str | None, Flag(("--optimizations",))] = None
    """Passes to apply, with commas, or "none". If not set: all that keep the answers."""
    threads: int | None = None
    """Threads inside one call; 0: one for each core."""
    batch: str | None = None
    """The axis of rows, where the file does not tell it right: any, none, or a number."""
    pad: str | None = None
    """Value per input that fills rows of different length, as name=0,other=1."""
    warm_up: Annotated[bool | None, Flag(negative="--no-warm-up")] = None
    """Answer a row of zeros before the model is ready. If not set: an ONNX model does, where its inputs are known."""
    trust: tuple[str, ...] | None = None
    """A type that a .skops file may bring; repeat the flag."""
    allow_pickle: bool | None = None
    """Open a pickle, or another file that runs code; needs --sha256."""
    sha256: str | None = None
    """The digest that the file must have, from somebody you trust."""
    cache_dir: str | None = None
    """Folder for what was measured of models. If not set: foretell in $XDG_CACHE_HOME, or in ~/.cache."""

    def given(self) -> dict[str, Any]:
        """The values of the flags that were given, by the names of the settings."""
        values = given(self)
        if isinstance(values.get("batch"), str) and values["batch"].isdigit():
            values["batch"] = int(values["batch"])
        return values


@Flags("Calls", ModelSettings)
@dataclass(frozen=True, kw_only=True)
class CallFlags:
    timeout_s: float | None = None
    """Longest time from acceptance to answer. If not set: no limit."""
    retries: int | None = None
    """Further tries after an error that the model marks transient."""
    retry_delay_s: float | None = None
    """Longest wait before the first of them; doubles."""
    retry_max_delay_s: float | None = None
    """Longest wait before any of them."""


@Flags("Calls", ModelSettings)
@dataclass(frozen=True, kw_only=True)
class RetryFlags:
    retries: int | None = None
    """Further tries after an error that the model marks transient."""
    retry_delay_s: float | None = None
    """Longest wait before the first of them; doubles."""
    retry_max_delay_s: float | None = None
    """Longest wait before any of them."""
    call_timeout_s: float | None = None
    """A call that takes longer is ended with its process, and the row that does it is left out. If not set: ten
    minutes, or a hundred times the longest call so far."""


@Flags("Batching and cache", ModelSettings)
@dataclass(frozen=True, kw_only=True)
class BatchingFlags:
    max_batch_size: int | None = None
    """Most rows of one call."""
    max_queue_size: int | None = None
    """Most rows that wait; more are refused."""
    max_streams: int | None = None
    """Streams that run at a time on each replica."""
    slo_ms: float | None = None
    """Objective: 99 of 100 answers within this; what would miss it is refused at once. If not set: no objective."""
    executor: Literal["auto", "inline", "thread", "process"] | None = None
    """Where calls run: on the event loop, in a thread, or in a process of its own; auto: by measured time."""
    replicas: int | None = None
    """Instances of the model."""
    max_replicas: int | None = None
    """As many instances there may be under load. If not set: as `replicas` says."""
    call_timeout_s: float | None = None
    """A replica that takes longer for one call is given up and replaced. If not set: no limit."""
    inline_limit_ms: float | None = None
    """Native calls faster than this run on the event loop."""
    load_timeout_s: float | None = None
    """Longest time a process may take to load the model, or a server that serves meanwhile."""
    cache_size: int | None = None
    """Answers to keep, in rows; 0: none."""
    cache_ttl_s: float | None = None
    """How long an answer is kept. If not set: as long as there is room."""


@Flags("Job", JobSettings)
@dataclass(frozen=True, kw_only=True)
class JobFlags:
    batch_size: int | None = None
    """Rows of one call. If not set: what fits in about 4 MiB, at most max_batch_size of the model."""
    num_workers: int | None = None
    """Threads that preprocess ahead of the model; 0: none. If not set: 2 where the model preprocesses."""


@Flags("Job", JobSettings)
@dataclass(frozen=True, kw_only=True)
class ScoreFlags:
    batch_size: int | None = None
    """Rows of one call. If not set: tuned while the job runs."""
    processes: int | None = None
    """Processes that score. If not set: one for each core, or for each device, and more where that is faster."""
    memory: int | None = None
    """What all processes together may take, such as 4GiB. If not set: what the machine has left."""
    max_quarantined: int | None = None
    """Rows without an answer before the job stops. If not set: 100, and beyond that one in a hundred."""
    max_crashes: int | None = None
    """Ends of processes before the job stops."""
    row_attempts: int | None = None
    """How often a row may end its process before it is left out."""
    check_keys: Annotated[bool | None, Flag(negative="--no-check-keys")] = None
    """Look for keys that stand more than once, where --key names some."""
    file_size: int | None = None
    """About how large a file of the output is, such as 512MiB: parts become one file of about this; 0: none do. If not
    set: 128MiB; in object storage, where parts are fetched for that, none do."""
    price_per_hour: float | None = None
    """Of this machine, for the cost in the report. If not set: no cost is told."""
    metrics_file: str | None = None
    """Write the metrics of the job to this file every few seconds, in the text format of Prometheus."""


@Flags("Calls", ModelSettings)
@dataclass(frozen=True, kw_only=True)
class EventFlags:
    timeout_s: float | None = None
    """Longest time from when an event was read to its answer; one that is late never reaches the model. If not set: no
    limit."""
    retries: int | None = None
    """Further tries after an error that the model marks transient."""
    retry_delay_s: float | None = None
    """Longest wait before the first of them; doubles."""
    retry_max_delay_s: float | None = None
    """Longest wait before any of them."""
    executor: Literal["auto", "inline", "thread", "process"] | None = None
    """Where calls run: in this process ("inline", "thread"), or in one of its own, which may end; auto: there a Python
    model does."""
    call_timeout_s: float | None = None
    """A call that takes longer is ended with its process, and the event that does it is left out. If not set: ten
    minutes, in a process of its own."""


@Flags("Stream", JobSettings)
@dataclass(frozen=True, kw_only=True)
class StreamFlags:
    batch_size: int | None = None
    """Most rows of one call. If not set: 8,192, fewer while calls take long."""
    row_attempts: int | None = None
    """How often an event may end the model's process before it is left out."""
    max_dead_letters: int | None = None
    """Events without an answer before a run stops. If not set: any number, once one has an answer; 100 before."""
    max_line_bytes: int | None = None
    """Longest event; a longer one is a dead letter."""
    commit_interval_s: float | None = None
    """Longest time between an answer and its commit: what a crash has to do once more."""
    metrics_file: str | None = None
    """Write the metrics of the stream to this file every few seconds, in the text format of Prometheus."""


@Flags("Server", ServerSettings)
@dataclass(frozen=True, kw_only=True)
class ServerFlags:
    host: str | None = None
    """Address to listen on."""
    http_port: Annotated[int | None, Flag(("--http-port", "--port"))] = None
    """Port to listen on; 0: any free one."""
    unix_socket: str | None = None
    """Listen on a Unix socket at this path, instead of an address."""
    unix_socket_mode: str | None = None
    """Permissions of the Unix socket, octal."""
    tls_cert: str | None = None
    """Speak HTTPS with this certificate (PEM)."""
    tls_key: str | None = None
    """Its private key (PEM). If not set: it is in the file of the certificate."""
    tls_client_ca: str | None = None
    """Let in clients only that have a certificate of this authority (PEM)."""
    allowed_hosts: tuple[str, ...] | None = None
    """A name under which clients reach the server; repeat the flag, or "*" for any."""
    cors_origins: tuple[str, ...] | None = None
    """An origin such as https://a.example whose pages may read the answers; repeat the flag, or "*" for any."""
    tokens_file: str | None = None
    """Ask for a token of this file; `foretell token new` makes one."""
    rate_per_s: float | None = None
    """Most requests each second from one address, without tokens. If not set: any number."""
    rate_burst: int | None = None
    """Requests of it that may come at once. If not set: those of one second."""
    workers: int | None = None
    """Processes that share the port and its limits; each loads the models for itself."""
    max_connections: int | None = None
    """Most clients at a time."""
    max_body_bytes: int | None = None
    """Largest request body, also when decompressed."""
    max_buffered_bytes: int | None = None
    """Most bytes of all large request bodies together."""
    max_header_bytes: int | None = None
    """Largest request head."""
    max_headers: int | None = None
    """Most headers of a request."""
    max_json_depth: int | None = None
    """Deepest nesting of JSON."""
    max_elements: int | None = None
    """Most elements of one tensor."""
    max_pipelined: int | None = None
    """Unanswered requests of one connection before reading pauses."""
    header_timeout_s: float | None = None
    """Longest time for a request head."""
    body_timeout_s: float | None = None
    """Longest time for a request body."""
    idle_timeout_s: float | None = None
    """Longest time between requests."""
    request_timeout_s: float | None = None
    """Time limit of a request that names none."""
    access_log: Literal["off", "combined", "json"] | None = None
    """One line for each request."""
    access_log_file: str | None = None
    """Where it is written. If not set: standard output."""
    canary: tuple[str, ...] | None = None
    """NAME=VERSION:SHARE%: let this version answer a share of the requests that name none; repeat the flag."""
    shadow: tuple[str, ...] | None = None
    """NAME=VERSION:SHARE%: ask this version a share of the same, and compare; repeat the flag."""
    prediction_log: str | None = None
    """Write what was asked and answered to this file, or folder, as JSON Lines. If not set: nowhere."""
    prediction_log_sample: float | None = None
    """Part of the requests to write, from 0 to 1."""
    prediction_log_exclude: tuple[str, ...] | None = None
    """An input or output whose values are not written; repeat the flag."""
    prediction_log_record_bytes: int | None = None
    """Longest text of a request; a longer one is written without its values."""
    prediction_log_file_bytes: int | None = None
    """Size from which the next file begins."""
    prediction_log_files: int | None = None
    """Files to keep."""
    log_format: Literal["text", "json"] | None = None
    """Whether what the server says of itself is lines for people, or a JSON object for each."""
    stream_timeout_s: float | None = None
    """Time limit of a stream whose request names none."""
    drain_delay_s: float | None = None
    """How long SIGTERM leaves the door open, while readiness says no, before it drains."""
    drain_timeout_s: float | None = None
    """How long SIGTERM waits for accepted requests, and a version that was replaced is kept for those it has."""
    max_loaded_models: int | None = None
    """Most versions of models in memory; the others wait on disk for a request. If not set: all are in memory."""
    idle_unload_s: float | None = None
    """Let a version that had no request for so long go from memory, until the next one. If not set: it stays."""
    watch: bool | None = None
    """Load a model anew when its file changes, and versions that come into a folder."""
    watch_interval_s: float | None = None
    """Time between two looks at the files."""


def given(flags: Any) -> dict[str, Any]:
    """The flags that were given, by the names of the settings."""
    return {field.name: value for field in fields(flags) if (value := getattr(flags, field.name)) is not None}


def words_of(flags: ModelFlags) -> list[str]:
    """The flags that were given, as words of another command line."""
    words: list[str] = []
    for name, value in given(flags).items():
        flag = f"--{name.replace('_', '-')}"
        if isinstance(value, bool):
            words.append(flag if value else flag.replace("--", "--no-", 1))
        else:
            words += [word for each in (value if isinstance(value, tuple) else [value]) for word in (flag, str(each))]
    return words


def layers(flags: ServerFlags | JobFlags | ScoreFlags | StreamFlags) -> list[Layer]:
    """One layer for each flag that was given, so that errors and `foretell config` name it."""
    return [Layer(f"--{key.replace('_', '-')}", {key: value}) for key, value in given(flags).items()]


def read_mapping(entries: tuple[str, ...]) -> dict[str, list[str]] | None:
    """`--map x=a,b,c`, once or more, as {"x": ["a", "b", "c"]}."""
    mapping: dict[str, list[str]] = {}
    for entry in entries:
        name, equals, columns = entry.partition("=")
        if not equals or not name or not columns:
            raise InvalidSetting("wrong --map", expected="INPUT=COLUMN,COLUMN,...", got=repr(entry))
        mapping[name] = [column.strip() for column in columns.split(",")]
    return mapping or None
