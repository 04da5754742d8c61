"""A tiny language model with random weights, and a vocabulary to go with it. Nothing is downloaded.

    python random_model.py gguf FILE            # needs gguf, numpy, tokenizers
    python random_model.py transformers FOLDER  # needs torch, transformers

The vocabulary is byte-pair encoding, trained on the documentation that comes with Python (`pydoc_data.topics`): half a million
characters of English and code. The weights come from a fixed seed, so the same model is made every time. What it writes makes
no sense. Where the rows of the head are zero, while all others are large, the model never writes: the end of text, so that it
goes on until it is stopped; bytes that are no ASCII, for half a character is no delta event; and whatever is long.

A script for the server's environment: only what it is asked for is imported.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

VOCABULARY = 8192
"""Tokens. Those of models are ten times as many, and take more of a text each."""
LONGEST = 4
"""Characters of a token that the model writes. Then there are as many delta events as quarters of characters, or more."""
WIDTH = 64
LAYERS = 2
HEADS = 4
INNER = 128
CONTEXT = 8192
SEED = 1
END = "<|end|>"
TEMPLATE = "{% for m in messages %}<|{{ m.role }}|>{{ m.content }}\n{% endfor %}<|assistant|>"
"""How a conversation becomes a text. Its marks are text as any other."""


def vocabulary() -> Any:
    """The trained `tokenizers.Tokenizer`."""
    import pydoc_data.topics

    from tokenizers import (  # type: ignore[import-not-found,unused-ignore]  # the server's environment has it
        Tokenizer,
        decoders,
        models,
        pre_tokenizers,
        trainers,
    )

    tokenizer: Any = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer: Any = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=[END],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(pydoc_data.topics.topics.values(), trainer)
    return tokenizer


def silent(tokenizer: Any) -> list[int]:
    """The tokens that the model never writes."""
    signs = {"Ġ", "Ċ"}  # byte-level's own, for the blank and the line's end
    plain = {chr(code) for code in range(ord("!"), ord("~") + 1)} | signs
    tokens = tokenizer.get_vocab().items()
    return [number for token, number in tokens if len(token) > LONGEST or not plain.issuperset(token)]


def as_gguf(file: Path) -> None:
    """For llama.cpp: vocabulary, template and weights in one file."""
    import json

    import gguf  # type: ignore[import-not-found,unused-ignore]  # the server's environment has it
    import numpy as np  # type: ignore[import-not-found,unused-ignore]  # likewise

    tokenizer = vocabulary()
    model = json.loads(tokenizer.to_str())["model"]
    names = sorted(model["vocab"], key=model["vocab"].__getitem__)
    random = np.random.default_rng(SEED)

    def weights(*shape: int, scale: float = 1.0) -> Any:
        return (random.standard_normal(shape) * scale / shape[-1] ** 0.5).astype(np.float32)

    writer: Any = gguf.GGUFWriter(str(file), "llama")
    writer.add_name("random")
    writer.add_context_length(CONTEXT)
    writer.add_embedding_length(WIDTH)
    writer.add_block_count(LAYERS)
    writer.add_feed_forward_length(INNER)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(HEADS)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_dimension_count(WIDTH // HEADS)
    writer.add_vocab_size(len(names))
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list(names)
    writer.add_token_types([gguf.TokenType.CONTROL if name == END else gguf.TokenType.NORMAL for name in names])
    writer.add_token_merges([" ".join(pair) for pair in model["merges"]])
    writer.add_eos_token_id(model["vocab"][END])
    writer.add_bos_token_id(model["vocab"][END])
    writer.add_add_bos_token(value=False)
    writer.add_chat_template(TEMPLATE)
    head = weights(len(names), WIDTH, scale=4.0)
    head[silent(tokenizer)] = 0.0
    writer.add_tensor("token_embd.weight", weights(len(names), WIDTH, scale=8.0))
    writer.add_tensor("output_norm.weight", np.ones(WIDTH, np.float32))
    writer.add_tensor("output.weight", head * WIDTH**0.5)
    for layer in range(LAYERS):
        for name in ("attn_q", "attn_k", "attn_v", "attn_output"):
            writer.add_tensor(f"blk.{layer}.{name}.weight", weights(WIDTH, WIDTH))
        for name in ("attn_norm", "ffn_norm"):
            writer.add_tensor(f"blk.{layer}.{name}.weight", np.ones(WIDTH, np.float32))
        for name in ("ffn_gate", "ffn_up"):
            writer.add_tensor(f"blk.{layer}.{name}.weight", weights(INNER, WIDTH))
        writer.add_tensor(f"blk.{layer}.ffn_down.weight", weights(WIDTH, INNER))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def as_transformers(folder: Path) -> None:
    """For transformers: a folder as `from_pretrained` wants it."""
    import torch  # type: ignore[import-not-found,unused-ignore]  # the server's environment has it
    import transformers  # type: ignore[import-not-found,unused-ignore]  # likewise

    tokenizer = vocabulary()
    end = tokenizer.token_to_id(END)
    config = transformers.LlamaConfig(
        vocab_size=VOCABULARY,
        hidden_size=WIDTH,
        intermediate_size=INNER,
        num_hidden_layers=LAYERS,
        num_attention_heads=HEADS,
        max_position_embeddings=CONTEXT,
        tie_word_embeddings=False,
        bos_token_id=end,
        eos_token_id=end,
        pad_token_id=end,
    )
    torch.manual_seed(SEED)
    model = transformers.LlamaForCausalLM(config)
    with torch.no_grad():
        torch.nn.init.normal_(model.model.embed_tokens.weight)
        torch.nn.init.normal_(model.lm_head.weight, std=0.5)
        model.lm_head.weight[silent(tokenizer)] = 0.0
    model.save_pretrained(folder)
    wrapped = transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, eos_token=END, pad_token=END, chat_template=TEMPLATE, clean_up_tokenization_spaces=False
    )
    wrapped.save_pretrained(folder)


def main() -> None:
    """The command."""
    kind, target = sys.argv[1:]
    path = Path(target)
    path.parent.mkdir(parents=True, exist_ok=True)
    {"gguf": as_gguf, "transformers": as_transformers}[kind](path)


if __name__ == "__main__":
    main()
