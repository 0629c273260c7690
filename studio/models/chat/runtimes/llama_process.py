"""llama.cpp at work in an environment of its own: ``python llama_process.py``.

Questions as ``answering.py`` reads them. Imports nothing of the studio.

The library is the one inside the package xllamacpp, whose wheel holds all of llama.cpp and exports its C interface (llama.h). The
structures below are those of its version; their layout is checked against the defaults that the library fills in.

Legend: s tokens, n positions asked for, v vocabulary.
"""

from __future__ import annotations

import ctypes
import importlib.util
import sys
from collections.abc import Sequence
from ctypes import POINTER, Structure, c_bool, c_char_p, c_float, c_int, c_int8, c_int32, c_size_t, c_uint32, c_void_p
from importlib.metadata import version
from pathlib import Path
from typing import Any

from answering import WrongQuestionError, answer, common, refuse_odd

PACKAGE = "xllamacpp"
F32 = 0  # ggml_type, ggml.h
WARNING = 3  # ggml_log_level, ggml.h
NO_FLASH_ATTENTION = 0  # llama_flash_attn_type, llama.h
_LOG = ctypes.CFUNCTYPE(None, c_int, c_char_p, c_void_p)


class ModelParams(Structure):
    """``llama_model_params``."""

    _fields_ = [
        *((name, c_void_p) for name in ("devices", "tensor_buft_overrides")),
        *((name, c_int32) for name in ("n_gpu_layers", "split_mode", "load_mode", "lazy_mode", "main_gpu")),
        *((name, c_void_p) for name in ("tensor_split", "progress_callback", "progress_callback_user_data", "kv_overrides")),
        *((name, c_bool) for name in ("vocab_only", "check_tensors", "use_extra_bufts", "no_host", "no_alloc", "load_mtp")),
    ]


class ContextParams(Structure):
    """``llama_context_params``."""

    _fields_ = [
        *((name, c_uint32) for name in ("n_ctx", "n_batch", "n_ubatch", "n_seq_max", "n_rs_seq")),
        *((name, c_uint32) for name in ("n_outputs_max", "n_outputs_max_per_seq")),
        *((name, c_int32) for name in ("n_threads", "n_threads_batch", "ctx_type", "rope_scaling_type", "pooling_type")),
        *((name, c_int32) for name in ("attention_type", "flash_attn_type")),
        *((name, c_float) for name in ("rope_freq_base", "rope_freq_scale", "yarn_ext_factor", "yarn_attn_factor")),
        *((name, c_float) for name in ("yarn_beta_fast", "yarn_beta_slow")),
        ("yarn_orig_ctx", c_uint32),
        ("defrag_thold", c_float),
        *((name, c_void_p) for name in ("cb_eval", "cb_eval_user_data")),
        *((name, c_int32) for name in ("type_k", "type_v")),
        ("moe_cache_size", c_size_t),
        *((name, c_void_p) for name in ("abort_callback", "abort_callback_data")),
        *((name, c_bool) for name in ("embeddings", "offload_kqv", "no_perf", "op_offload", "swa_full", "kv_unified")),
        ("samplers", c_void_p),
        ("n_samplers", c_size_t),
        ("ctx_other", c_void_p),
    ]


class Batch(Structure):
    """``llama_batch``."""

    _fields_ = [
        ("n_tokens", c_int32),
        ("token", POINTER(c_int32)),
        ("embd", c_void_p),
        ("pos", POINTER(c_int32)),
        ("n_seq_id", POINTER(c_int32)),
        ("seq_id", POINTER(POINTER(c_int32))),
        ("logits", POINTER(c_int8)),
    ]


_TAKES: dict[str, tuple[Any, tuple[Any, ...]]] = {
    "llama_log_set": (None, (_LOG, c_void_p)),
    "llama_backend_init": (None, ()),
    "llama_model_default_params": (ModelParams, ()),
    "llama_context_default_params": (ContextParams, ()),
    "llama_model_load_from_file": (c_void_p, (c_char_p, ModelParams)),
    "llama_init_from_model": (c_void_p, (c_void_p, ContextParams)),
    "llama_model_get_vocab": (c_void_p, (c_void_p,)),
    "llama_model_n_ctx_train": (c_int32, (c_void_p,)),
    "llama_model_chat_template": (c_char_p, (c_void_p, c_char_p)),
    "llama_vocab_n_tokens": (c_int32, (c_void_p,)),
    "llama_vocab_get_add_bos": (c_bool, (c_void_p,)),
    "llama_vocab_is_eog": (c_bool, (c_void_p, c_int32)),
    "llama_tokenize": (c_int32, (c_void_p, c_char_p, c_int32, POINTER(c_int32), c_int32, c_bool, c_bool)),
    "llama_n_ctx": (c_uint32, (c_void_p,)),
    "llama_get_memory": (c_void_p, (c_void_p,)),
    "llama_memory_seq_rm": (c_bool, (c_void_p, c_int32, c_int32, c_int32)),
    "llama_memory_clear": (None, (c_void_p, c_bool)),
    "llama_batch_init": (Batch, (c_int32, c_int32, c_int32)),
    "llama_batch_free": (None, (Batch,)),
    "llama_decode": (c_int32, (c_void_p, Batch)),
    "llama_get_logits_ith": (c_void_p, (c_void_p, c_int32)),
    "llama_adapter_lora_init": (c_void_p, (c_void_p, c_char_p)),
    "llama_set_adapters_lora": (c_int32, (c_void_p, POINTER(c_void_p), c_size_t, POINTER(c_float))),
}
"""Functions of llama.h that are called: what comes back, what goes in."""


def load_library() -> Any:
    """The library with the types of its functions.

    Raises:
        ImportError: it is not installed, or its structures are not those written here.
    """
    spec = importlib.util.find_spec(PACKAGE)
    if spec is None or spec.origin is None:
        raise ImportError(f"the package {PACKAGE} is not installed")
    lib = ctypes.CDLL(str(next(Path(spec.origin).parent.glob("xllamacpp*.so"))))
    for name, (back, takes) in _TAKES.items():
        function = getattr(lib, name)
        function.restype, function.argtypes = back, takes
    # As llama.h has them for years; a structure that has grown would shift them.
    model, context = lib.llama_model_default_params(), lib.llama_context_default_params()
    found: list[Any] = [model.use_extra_bufts, model.vocab_only, context.n_ctx, context.n_batch, context.n_ubatch]
    found += [context.n_seq_max, context.type_k, context.type_v, context.yarn_beta_fast, context.embeddings, context.n_samplers]
    if found != [True, False, 512, 2048, 512, 1, 1, 1, -1.0, False, 0]:
        raise ImportError(f"{PACKAGE} {version(PACKAGE)} has other structures than this script knows: {found}")
    return lib


class Llama:
    """A model of one GGUF file, and its memory of the last tokens."""

    def __init__(self) -> None:
        """Load the library and collect what it logs."""
        self.lib = load_library()
        self.log: list[str] = []
        self.model: Any = None
        self.context: Any = None
        self.seen: list[int] = []

        def keep(level: int, text: bytes, _data: Any) -> None:
            self.log.append(text.decode("utf-8", "replace"))
            del self.log[:-4000]
            if level >= WARNING:
                sys.stderr.write(self.log[-1])

        self.callback = _LOG(keep)  # held, or it would be collected while the library has it
        self.lib.llama_log_set(self.callback, None)
        self.lib.llama_backend_init()

    def open(self, file: str, context: int, threads: int, exact: bool, lora: str | None = None) -> dict[str, Any]:
        """Load a file.

        Args:
            context: tokens at most; the model's own limit is not passed.
            exact: keep keys and values in float32 without flash attention, to compare with float32 elsewhere; otherwise as
                llama.cpp does it unless told otherwise.
            lora: file of an adapter.
        """
        lib = self.lib
        wanted = lib.llama_model_default_params()
        # Weights repacked for AMX crash on some processors in ggml_backend_amx_mul_mat (llama.cpp issue 20824).
        wanted.use_extra_bufts = False
        self.model = lib.llama_model_load_from_file(file.encode(), wanted)
        if self.model is None:
            raise WrongQuestionError(f"llama.cpp cannot load {Path(file).name}: {self._last_words()}")
        self.vocabulary = lib.llama_model_get_vocab(self.model)
        self.words = int(lib.llama_vocab_n_tokens(self.vocabulary))
        settings = lib.llama_context_default_params()
        settings.n_ctx = min(context, int(lib.llama_model_n_ctx_train(self.model))) if context else 0
        settings.n_batch = settings.n_ubatch = min(512, settings.n_ctx or 512)
        settings.n_threads = settings.n_threads_batch = threads
        if exact:
            settings.type_k = settings.type_v = F32
            settings.flash_attn_type = NO_FLASH_ATTENTION
        self.batch = int(settings.n_batch)
        self.context = lib.llama_init_from_model(self.model, settings)
        if self.context is None:
            raise WrongQuestionError(f"llama.cpp cannot make a context of {context} tokens: {self._last_words()}")
        if lora is not None:
            self.adapter = lib.llama_adapter_lora_init(self.model, lora.encode())
            if self.adapter is None:
                raise WrongQuestionError(f"llama.cpp cannot load the adapter {Path(lora).name}: {self._last_words()}")
            one, scale = (c_void_p * 1)(self.adapter), (c_float * 1)(1.0)
            if lib.llama_set_adapters_lora(self.context, one, 1, scale):
                raise WrongQuestionError(f"llama.cpp does not take the adapter {Path(lora).name}: {self._last_words()}")
        package = version(PACKAGE)
        return {
            "name": f"llama.cpp b{package.rpartition('.')[2]} (xllamacpp {package})",
            "words": self.words,
            "context": int(lib.llama_n_ctx(self.context)),
            "adds_bos": bool(lib.llama_vocab_get_add_bos(self.vocabulary)),
            "template": self._template(),
        }

    def _template(self) -> str | None:
        """The chat template that the file holds."""
        found: bytes | None = self.lib.llama_model_chat_template(self.model, None)
        return None if found is None else found.decode("utf-8")

    def ends(self) -> list[int]:
        """Tokens at which llama.cpp ends an answer by itself."""
        return [token for token in range(self.words) if self.lib.llama_vocab_is_eog(self.vocabulary, token)]

    def tokens(self, text: str) -> list[int]:
        """Ids of a rendered text: marks in it are read as such, nothing is added."""
        data = text.encode("utf-8")
        room = len(data) + 8
        found = (c_int32 * room)()
        count = self.lib.llama_tokenize(self.vocabulary, data, len(data), found, room, False, True)
        if count < 0:
            raise WrongQuestionError("llama.cpp cannot make tokens of the text.")
        return list(found[:count])

    def logits(self, ids: Sequence[int], last: int, fresh: bool) -> bytes:
        """Float32 logits [n, v] at the last ``n`` positions of ``ids``.

        Args:
            fresh: forget all that was read before; otherwise tokens that were read last time are not read again.
        """
        lib = self.lib
        refuse_odd(ids, last, int(lib.llama_n_ctx(self.context)))
        kept = 0 if fresh else common(self.seen, ids[: len(ids) - last])
        memory = lib.llama_get_memory(self.context)
        if not lib.llama_memory_seq_rm(memory, 0, kept, -1):
            lib.llama_memory_clear(memory, True)
            kept = 0
        self.seen = list(ids[:kept])
        parts = []
        for start in range(kept, len(ids), self.batch):
            parts += self._read(ids[start : start + self.batch], start, len(ids) - last)
        self.seen = list(ids)
        return b"".join(parts)

    def _read(self, ids: Sequence[int], start: int, first: int) -> list[bytes]:
        """Read a batch that begins at a position; logits of those from ``first`` on."""
        lib = self.lib
        batch = lib.llama_batch_init(len(ids), 0, 1)
        try:
            batch.n_tokens = len(ids)
            for index, token in enumerate(ids):
                batch.token[index] = token
                batch.pos[index] = start + index
                batch.n_seq_id[index] = 1
                batch.seq_id[index][0] = 0
                batch.logits[index] = start + index >= first
            if code := lib.llama_decode(self.context, batch):
                raise WrongQuestionError(f"llama.cpp could not read {len(ids)} tokens (code {code}): {self._last_words()}")
            wanted = [index for index in range(len(ids)) if start + index >= first]
            return [ctypes.string_at(lib.llama_get_logits_ith(self.context, index), self.words * 4) for index in wanted]
        finally:
            lib.llama_batch_free(batch)

    def _last_words(self) -> str:
        """The last thing the library said, as the end of a sentence."""
        lines = [line.strip() for line in "".join(self.log).splitlines() if line.strip()]
        return lines[-1] if lines else "it does not say why"


if __name__ == "__main__":
    answer(Llama())
