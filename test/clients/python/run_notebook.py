"""Executes a notebook in a real kernel and prints what a person would see."""

import sys

import nbformat
from nbclient import NotebookClient

notebook = nbformat.read(sys.argv[1], as_version=4)
NotebookClient(notebook, timeout=240, kernel_name="python3").execute()
for cell in notebook.cells:
    for output in cell.get("outputs", []):
        if output.output_type == "stream":
            print(output.text)
        elif output.output_type == "error":
            print("error", "\n".join(output.traceback))
        else:
            print("\n".join(output.data.values()))
