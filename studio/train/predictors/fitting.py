"""Who fits which estimator. A fitter takes a ``Job`` and a description, and gives the predictor.

A new estimator is a class of settings in ``studio/schema``, a name in the union of the preset, and a line here.
"""

from __future__ import annotations

from studio.core.registry import Registry

_PIPELINE = "studio.train.predictors.pipelines:fit_pipeline"
_TEXTS = "studio.train.predictors.text_networks:fit_text_network"
_PICTURES = "studio.train.predictors.picture_networks:fit_picture_network"

# Type of estimator to ``fit(job, info) -> Predictor``, None when a signal stopped it after saving a checkpoint.
FITTERS = Registry(
    "estimator",
    {
        "logistic": _PIPELINE,
        "svm": _PIPELINE,
        "naive-bayes": _PIPELINE,
        "forest": _PIPELINE,
        "boosting": _PIPELINE,
        "ridge": _PIPELINE,
        "mlp": "studio.train.predictors.column_networks:fit_column_network",
        "bert": _TEXTS,
        "lstm": _TEXTS,
        "gru": _TEXTS,
        "text-cnn": _TEXTS,
        "resnet": _PICTURES,
        "mobilenet": _PICTURES,
        "small-cnn": _PICTURES,
    },
)

# Type of estimator to ``base(preset) -> record``, for those that may start from weights of others.
BASES = Registry(
    "estimator with a base",
    {
        "bert": "studio.train.predictors.text_networks:encoder_record",
        "resnet": "studio.train.predictors.picture_networks:weights_record",
        "mobilenet": "studio.train.predictors.picture_networks:weights_record",
    },
)
