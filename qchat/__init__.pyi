from .api.answers import Answer as Answer
from .api.answers import AnswerStream as AnswerStream
from .api.library import Client as Client
from .api.library import aask as aask
from .api.library import ask as ask
from .errors import QchatError as QchatError

__version__: str
__all__ = ["Answer", "AnswerStream", "Client", "QchatError", "__version__", "aask", "ask"]
