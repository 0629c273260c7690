"""The kinds of task a suite can name. Listing them imports nothing heavy.

A new kind is a class of settings with a ``type``, a function ``run``, and a line in each table here. One from outside the studio
is added the same way before the suite is read: ``TASKS.add("mine", "package.module:run")``.
"""

from __future__ import annotations

from studio.core.registry import Registry

# How a task runs: TaskContext -> TaskResult, see studio/evals/task.py.
TASKS = Registry(
    "task",
    {
        "conversation": "studio.evals.chat.tasks.conversation:run",
        "tool_calls": "studio.evals.chat.tasks.tool_calls:run",
        "classification": "studio.evals.tasks.classification:run",
        "regression": "studio.evals.tasks.regression:run",
        "fairness": "studio.evals.tasks.fairness:run",
        "general": "studio.evals.chat.tasks.general:run",
        "safety": "studio.evals.chat.tasks.safety:run",
        "leakage": "studio.evals.chat.tasks.leakage:run",
        "crows_pairs": "studio.evals.chat.tasks.crows_pairs:run",
        "stereoset": "studio.evals.chat.tasks.stereoset:run",
        "winobias": "studio.evals.chat.tasks.winobias:run",
        "winogender": "studio.evals.chat.tasks.winogender:run",
        "bbq": "studio.evals.chat.tasks.bbq:run",
        "counterfactual": "studio.evals.chat.tasks.counterfactual:run",
        "lm_eval": "studio.evals.chat.tasks.lm_eval:run",
        "judge": "studio.evals.chat.tasks.judge:run",
        "pairs": "studio.evals.chat.tasks.reward:run_pairs",
        "reward": "studio.evals.chat.tasks.reward:run_reward",
        "images": "studio.evals.images.task:run",
        "forecast": "studio.evals.forecast.task:run",
        "clustering": "studio.evals.clusters.task:run",
        "retrieval": "studio.evals.embed.task:run",
    },
)

# What a suite may say about a task: its settings, a subclass of TaskSettings whose ``type`` is the name here.
SETTINGS = Registry(
    "task",
    {
        "conversation": "studio.evals.suites:CheckedConversationTask",
        "tool_calls": "studio.schema.tasks:ToolCallsTask",
        "classification": "studio.schema.tasks:ClassificationTask",
        "regression": "studio.schema.tasks:RegressionTask",
        "fairness": "studio.schema.tasks:FairnessTask",
        "general": "studio.schema.general:GeneralTask",
        "safety": "studio.schema.tasks:SafetyTask",
        "leakage": "studio.schema.tasks:LeakageTask",
        "crows_pairs": "studio.schema.bias:CrowsPairsTask",
        "stereoset": "studio.schema.bias:StereoSetTask",
        "winobias": "studio.schema.bias:WinoBiasTask",
        "winogender": "studio.schema.bias:WinogenderTask",
        "bbq": "studio.schema.bias:BBQTask",
        "counterfactual": "studio.schema.bias:CounterfactualTask",
        "lm_eval": "studio.schema.bias:LmEvalTask",
        "judge": "studio.schema.judge:JudgeTask",
        "pairs": "studio.schema.reward_tasks:PairsTask",
        "reward": "studio.schema.reward_tasks:RewardTask",
        "images": "studio.schema.image_scores:ImagesTask",
        "forecast": "studio.schema.forecast_scores:ForecastTask",
        "clustering": "studio.schema.cluster_scores:ClusteringTask",
        "retrieval": "studio.schema.retrieval_scores:RetrievalTask",
    },
)

# What opens the models that tasks ask, by way of asking; see studio/evals/benches.py.
BENCHES = Registry("way of asking models", {"chat": "studio.evals.chat.opening:open_bench"})

# The way in which each task asks. A task that opens its models by itself, or needs none, is not here.
ASKED = dict.fromkeys(
    (
        "conversation", "tool_calls", "classification", "regression", "fairness", "general", "safety", "leakage",
        "crows_pairs", "stereoset", "winobias", "winogender", "bbq", "counterfactual", "lm_eval", "judge", "reward",
    ),
    "chat",
)  # fmt: skip
