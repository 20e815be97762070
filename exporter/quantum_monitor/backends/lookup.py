"""Jobs by their id: of IBM Runtime, and quantum tasks of Amazon Braket by their ARN."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import replace
from importlib import import_module
from typing import Any

from quantum_monitor import masking
from quantum_monitor.backends.jobs import CannotFollowError, JobFacts, ReadJob, UnknownJobError, read_job
from quantum_monitor.names import label_value, text

_ASK_IBM = "save an account with QiskitRuntimeService.save_account, or set QISKIT_IBM_TOKEN and QISKIT_IBM_INSTANCE"
_ASK_AWS = "sign in for boto3: `aws configure`, or AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
_NO_CREDENTIALS = frozenset(
    {"NoCredentialsError", "PartialCredentialsError", "ProfileNotFound", "NoRegionError", "CredentialRetrievalError"}
)
_REFUSED = frozenset(
    {
        "AccessDeniedException",
        "ExpiredTokenException",
        "InvalidClientTokenId",
        "InvalidSignatureException",
        "UnrecognizedClientException",
    }
)


def reader_of_job(identifier: str) -> ReadJob:
    """What asks the provider for a job, looked up at the first call, and again after one that failed.

    The call raises `CannotFollowError` where asking again would not help, and anything else where it may.

    Args:
        identifier: the ARN of a quantum task, or the id of a job of IBM Runtime.

    Raises:
        CannotFollowError: it cannot be either, or the provider's package is not installed.
    """
    if identifier.startswith("arn:"):
        parts = identifier.split(":")
        if len(parts) != 6 or parts[2] != "braket" or not parts[5].startswith("quantum-task/"):
            raise CannotFollowError(f"{identifier} is no quantum task: its ARN has :braket: and :quantum-task/ in it")
        return _Task(identifier)
    if not identifier or not identifier.replace("-", "").isalnum():
        raise CannotFollowError(f"{identifier!r} is neither an id of IBM Runtime nor the ARN of a Braket task")
    return _RuntimeJob(identifier)


class _Task:
    """A quantum task of Braket."""

    def __init__(self, arn: str) -> None:
        try:
            self._boto3, self._braket = import_module("boto3"), import_module("braket.aws")
        except ImportError as error:
            install = "pip install 'quantum-monitor[braket]'"
            raise CannotFollowError(f"{arn}: tasks of Braket take its SDK: {install}") from error
        self._arn = arn
        self._task: Any = None
        self._names: dict[str, str] = {}
        self._session: Any = None

    def __call__(self) -> JobFacts:
        try:
            with _amazons(self._arn):
                if self._task is None:
                    region = self._boto3.Session(region_name=self._arn.split(":")[3])
                    self._session = self._braket.AwsSession(region)
                    self._task = self._braket.AwsQuantumTask(self._arn, aws_session=self._session)
                facts = read_job(self._task)
                return replace(facts, backend=self._name(facts))
        except Exception:
            self._task = None
            raise

    def _name(self, facts: JobFacts) -> str | None:
        """The name of the device, as its own object says it; the end of its ARN where nobody says."""
        device = facts.device or ""
        if device not in self._names:
            with contextlib.suppress(Exception):
                self._names[device] = label_value(self._session.get_device(device)["deviceName"])
        return self._names.get(device, facts.backend)


class _RuntimeJob:
    """A job of IBM Runtime."""

    def __init__(self, job: str) -> None:
        try:
            self._service = import_module("qiskit_ibm_runtime").QiskitRuntimeService
        except ImportError as error:
            package = "pip install qiskit-ibm-runtime"
            raise CannotFollowError(f"{job}: jobs of IBM Runtime take a package of its own: {package}") from error
        self._id = job
        self._job: Any = None

    def __call__(self) -> JobFacts:
        try:
            with _ibms(self._id):
                if self._job is None:
                    self._job = self._service().job(self._id)
                return read_job(self._job)
        except Exception:
            self._job = None
            raise


@contextlib.contextmanager
def _amazons(arn: str) -> Iterator[None]:
    """Errors that no patience mends, in one sentence."""
    try:
        yield
    except Exception as error:
        response = getattr(error, "response", None)
        code = response.get("Error", {}).get("Code", "") if isinstance(response, dict) else ""
        told = masking.text(text(error))
        if code in {"ResourceNotFoundException", "ValidationException"}:
            raise UnknownJobError(f"{arn}: Braket knows no such task in this account: {told}") from error
        if code in _REFUSED:
            raise CannotFollowError(f"{arn}: {told}; {_ASK_AWS}") from error
        if type(error).__name__ in _NO_CREDENTIALS or type(error).__name__.startswith("SSO"):
            raise CannotFollowError(f"{arn}: {told}; {_ASK_AWS}") from error
        raise


@contextlib.contextmanager
def _ibms(job: str) -> Iterator[None]:
    try:
        yield
    except Exception as error:
        kinds = {base.__name__ for base in type(error).__mro__}
        told = masking.text(text(error).strip("'\""))
        if "RuntimeJobNotFound" in kinds:
            raise UnknownJobError(f"{job}: IBM Runtime knows no such job in this account") from error
        account = kinds & {"IBMAccountError", "IBMNotAuthorizedError", "IBMInputValueError"}
        if account and not _is_of_the_network(error):
            raise CannotFollowError(f"{job}: {told}; {_ASK_IBM}") from error
        raise


def _is_of_the_network(error: BaseException) -> bool:
    """Whether an error came from one of a connection: IBM's package calls those of accounts by another name."""
    seen: set[int] = set()
    cause: BaseException | None = error
    while cause is not None and id(cause) not in seen:
        if isinstance(cause, OSError):
            return True
        seen.add(id(cause))
        cause = cause.__cause__ or cause.__context__
    return False
