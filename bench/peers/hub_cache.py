"""Hugging Face's own tools on a cache folder that cria shares; HF_ENDPOINT, HF_HUB_CACHE and HF_HUB_OFFLINE say where and how.

python bench/peers/hub_cache.py download REPO [FILE...]    all files, or these alone
python bench/peers/hub_cache.py read REPO FILE...          from the cache alone, and loaded by Transformers
python bench/peers/hub_cache.py scan

Prints one JSON value.
"""
import json
import os
import sys

from huggingface_hub import hf_hub_download, scan_cache_dir, snapshot_download
from huggingface_hub.errors import EntryNotFoundError


def download(repo, *files):
    try:
        hf_hub_download(repo, "added_tokens.json")  # remembered in the cache as absent
    except EntryNotFoundError:
        pass
    if not files:
        return {"path": snapshot_download(repo)}
    return {"path": os.path.dirname([hf_hub_download(repo, file) for file in files][0])}


def read(repo, *files):
    from transformers import AutoModelForCausalLM

    path = snapshot_download(repo, local_files_only=True)
    found = [hf_hub_download(repo, file, local_files_only=True) for file in files]
    by_commit = snapshot_download(repo, revision=os.path.basename(path), local_files_only=True)
    model = AutoModelForCausalLM.from_pretrained(repo, local_files_only=True)
    return {
        "path": path,
        "files": [os.path.relpath(file, path) for file in found],
        "isSameByCommit": by_commit == path,
        "numParameters": sum(p.numel() for p in model.parameters()),
    }


def scan():
    info = scan_cache_dir()
    repos = [{"repo": r.repo_id, "sizeBytes": r.size_on_disk, "refs": sorted(r.refs)} for r in info.repos]
    return {"repos": repos, "warnings": [str(w) for w in info.warnings]}


command, *rest = sys.argv[1:]
print(json.dumps({"download": download, "read": read, "scan": scan}[command](*rest)))
