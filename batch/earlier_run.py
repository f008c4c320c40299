"""What the output of a run tells of an earlier one, before an engine is selected."""

from dataclasses import dataclass, replace

from ..errors import EngineError
from .engines.engine_request import EngineRequest
from .engines.engine_selection import EngineSelection
from .engines.servers import ServerPool
from .inputs.row_defaults import OwnModel
from .job import BatchJob
from .journal.manifest import Manifest, load_manifest
from .journal.output_files import OutputFiles


@dataclass(frozen=True, slots=True)
class EarlierRun:
    """The earlier run that `job` goes on with; `manifest` is None where there is none."""

    job: BatchJob
    manifest: Manifest | None

    @classmethod
    def read(cls, job: BatchJob, files: OutputFiles | None) -> "EarlierRun":
        """Read its manifest; `files` is None for standard output. Raises `UsageError`."""
        if files is None or job.restart:
            return cls(job, None)
        return cls(job, load_manifest(files.manifest))

    @property
    def may_be_all(self) -> bool:
        """Whether it may have left nothing to ask, as far as can be told without the input."""
        job = self.job
        asks_again = job.retry_failed or job.retry_where or job.accept_changes or job.adopt
        if self.manifest is None or asks_again or job.evaluation.verify is not None:
            return False
        return self.manifest.state == "finished"

    @property
    def engine_request(self) -> EngineRequest:
        """The options that select an engine, with the kind and the model of then."""
        if self.manifest is None:
            return self.job.engine
        return replace(
            self.job.engine, earlier_model=self._model, earlier_kind=self.manifest.engine
        )

    def without_engine(self, error: EngineError | None = None) -> EngineSelection:
        """Return a selection that asks nothing, for this `error` if there is one: the input is
        read all the same, for its own errors, and because all rows may be done."""
        kind = "http" if self.manifest is None else self.manifest.engine
        model: str | OwnModel = OwnModel.PER_ROW
        if self.job.engine.model is not None:
            model = self.job.engine.model
        elif kind not in ("http", "") and self._model:  # which asks all rows of one model
            model = self._model
        return EngineSelection(ServerPool(()), kind, model, "", self._model, error=error)

    @property
    def _model(self) -> str:
        """The model that it asked; '' where each row had its own, and without an earlier run."""
        return "" if self.manifest is None else str(self.manifest.settings.get("model", ""))
