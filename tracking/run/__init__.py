"""One recorded run: `execute(config)` trains a model, measures it and writes it to the store."""

from .execution import RunResult, execute

__all__ = ["RunResult", "execute"]
