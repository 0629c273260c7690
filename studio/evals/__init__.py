"""Run -> Report: the same questions for the tuned model and its base, scores with intervals, a page to read.

``runner.evaluate_run`` is the way in. Nothing is imported here, so that naming a metric loads no torch.
"""
