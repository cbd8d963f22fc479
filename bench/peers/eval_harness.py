"""What lm-evaluation-harness gets of a model from a server with the OpenAI API, beside what it gets of the same weights in Transformers.

python bench/peers/eval_harness.py FOLDER BASE_URL MODEL   (a Hugging Face folder; the server's address with /v1; its name of the model)
"""
import json
import sys

from lm_eval.api.instance import Instance
from lm_eval.models.huggingface import HFLM
from lm_eval.models.openai_completions import LocalCompletionsAPI

QUESTIONS = [
    ("What is the capital of France?", ["Paris", "London", "Berlin", "Rome"]),
    ("2 + 2 =", ["4", "5", "22", "3"]),
    ("The opposite of hot is", ["cold", "warm", "boiling", "spicy"]),
    ("Water freezes at", ["0 degrees Celsius", "100 degrees", "the North Pole", "night"]),
    ("A llama is", ["an animal", "a plant", "a mineral", "a programming language"]),
    ("Un mot français:", ["fenêtre", "window", "Fenster", "窓"]),
    ("Greet a llama.", ["Hello, llama!", "🦙 naïve", "", "\n\n\n"]),
    ("How does a reply end?", ["<|im_end|>", "It does.", ".", "With a full stop."]),
]
TEXT = "The llama (Lama glama) is a domesticated South American camelid, widely used as a meat and pack animal. " * 8


def requests(kind, arguments):
    return [Instance(request_type=kind, doc={}, arguments=pair, idx=i) for i, pair in enumerate(arguments)]


def results(model):
    prompts = [f"Question: {question}\nAnswer:" for question, _ in QUESTIONS]
    pairs = [(prompt, f" {answer}") for prompt, (_, answers) in zip(prompts, QUESTIONS) for answer in answers]
    until = {"until": ["\n"], "max_gen_toks": 24, "do_sample": False}
    return {
        "likelihoods": model.loglikelihood(requests("loglikelihood", pairs)),
        "rolling": model.loglikelihood_rolling(requests("loglikelihood_rolling", [(TEXT,)])),
        "texts": model.generate_until(requests("generate_until", [(prompt, until) for prompt in prompts])),
    }


folder, base_url, name = sys.argv[1:]
asked = results(LocalCompletionsAPI(base_url=f"{base_url}/completions", model=name, tokenizer=folder, batch_size=4, max_length=2048))
own = results(HFLM(pretrained=folder, dtype="float32", device="cpu", batch_size=1))
pairs = list(zip(asked["likelihoods"], own["likelihoods"]))
print(json.dumps({
    "likelihoods": len(pairs),
    "largestDifference": max(abs(a / b - 1) for (a, _), (b, _) in pairs),
    "sameGreedy": sum(a == b for (_, a), (_, b) in pairs),
    "rolling": [asked["rolling"][0], own["rolling"][0]],
    "texts": len(own["texts"]),
    "sameTexts": sum(a == b for a, b in zip(asked["texts"], own["texts"])),
}))
