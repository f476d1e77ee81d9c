"""thumbnet: train, understand and ship image classifiers under 200,000 parameters on two CPU cores.

The public names are imported when they are first used, so that `import thumbnet` and `thumbnet --help` are quick.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

from thumbnet.kernels.cpu import cpu_form  # it limits the processor as THUMBNET_CPU asks, before torch is imported
from thumbnet.specs.extras import extras_named

__version__ = "0.1.0"

_MODULE_OF = {
    "DataSource": "thumbnet.data.source_registry",
    "DataSpec": "thumbnet.specs.data",
    "Dataset": "thumbnet.data.dataset",
    "ReadOptions": "thumbnet.specs.data",
    "Source": "thumbnet.data.dataset",
    "SourceSplits": "thumbnet.data.source_splits",
    "Split": "thumbnet.data.dataset",
    "AdamW": "thumbnet.specs.optimizers",
    "SGD": "thumbnet.specs.optimizers",
    "Muon": "thumbnet.specs.optimizers",
    "Optimizer": "thumbnet.specs.optimizers",
    "Schedule": "thumbnet.specs.schedules",
    "Inputs": "thumbnet.specs.inputs",
    "Objective": "thumbnet.specs.objective",
    "Engine": "thumbnet.specs.engine",
    "FineTuning": "thumbnet.specs.fine_tuning",
    "Length": "thumbnet.training.length",
    "STOP": "thumbnet.training.stopping",
    "Stopping": "thumbnet.specs.stopping",
    "TrainingState": "thumbnet.training.state",
    "FitResult": "thumbnet.training.result",
    "Policy": "thumbnet.augment",
    "register_model": "thumbnet.models.registry",
    "register_optimizer": "thumbnet.training.optimizers",
    "register_policy": "thumbnet.augment",
    "register_schedule": "thumbnet.specs.schedules",
    "scorers": "thumbnet.evaluation.metrics",
    "Cosine": "thumbnet.specs.schedules",
    "Evaluation": "thumbnet.evaluation.metrics",
    "History": "thumbnet.training.history",
    "LrTrial": "thumbnet.training.lr_finder",
    "OneCycle": "thumbnet.specs.schedules",
    "Robustness": "thumbnet.evaluation.robustness",
    "Run": "thumbnet.runs.run",
    "StepSchedule": "thumbnet.specs.schedules",
    "ThumbnetError": "thumbnet.errors",
    "TrainConfig": "thumbnet.config",
    "create_model": "thumbnet.models.registry",
    "create_policy": "thumbnet.augment",
    "draw_batch": "thumbnet.views.preview",
    "RunComparison": "thumbnet.runs.comparison.runs",
    "SweepResult": "thumbnet.runs.sweeps.results",
    "resume_sweep": "thumbnet.runs.sweeps.sweep",
    "sweep": "thumbnet.runs.sweeps.sweep",
    "SaliencyMaps": "thumbnet.evaluation.saliency",
    "AcceleratedLayers": "thumbnet.kernels.accelerate",
    "accelerate": "thumbnet.kernels.accelerate",
    "accelerated_layers": "thumbnet.kernels.accelerate",
    "decelerate": "thumbnet.kernels.accelerate",
    "Analysis": "thumbnet.evaluation.analysis",
    "analyse": "thumbnet.evaluation.analysis",
    "check_data": "thumbnet.data_check.check",
    "compare_runs": "thumbnet.runs.comparison.runs",
    "compare_seeds": "thumbnet.runs.comparison.seeds",
    "curves_of": "thumbnet.views.curves",
    "draw_confusion": "thumbnet.views.confusion",
    "draw_curves": "thumbnet.views.curves",
    "draw_gallery": "thumbnet.views.gallery",
    "draw_graph": "thumbnet.views.graph",
    "draw_lr_trial": "thumbnet.views.lr_trial",
    "draw_preview": "thumbnet.views.preview",
    "evaluate": "thumbnet.evaluation.metrics",
    "evaluate_labels": "thumbnet.evaluation.label_scoring",
    "LabelEvaluation": "thumbnet.evaluation.multi_label",
    "label_scorers": "thumbnet.evaluation.label_scoring",
    "evaluate_seeds": "thumbnet.runs.seeds.evaluate",
    "evaluate_trained": "thumbnet.runs.evaluate",
    "TrainedEvaluation": "thumbnet.runs.evaluate",
    "find_lr": "thumbnet.training.lr_finder",
    "fit": "thumbnet.training.fit",
    "list_models": "thumbnet.models.registry",
    "list_runs": "thumbnet.runs.listing",
    "list_recipes": "thumbnet.recipes",
    "list_pretrained": "thumbnet.models.pretrained",
    "dataset_from_arrays": "thumbnet.data.from_arrays",
    "load_dataset": "thumbnet.data.sources",
    "load_exported": "thumbnet.export.exported",
    "load_pretrained": "thumbnet.trained.model",
    "load_recipe": "thumbnet.recipes",
    "load_run": "thumbnet.runs.run",
    "measure_robustness": "thumbnet.evaluation.robustness_scoring",
    "misclassified": "thumbnet.evaluation.metrics",
    "predict": "thumbnet.runs.predict",
    "register_metric": "thumbnet.evaluation.custom_metrics",
    "register_report_section": "thumbnet.views.report.sections",
    "ReportSection": "thumbnet.views.report.sections",
    "reproduce_run": "thumbnet.runs.reproduction",
    "resume": "thumbnet.runs.resume",
    "ExportFormat": "thumbnet.export.formats",
    "ExportRequest": "thumbnet.export.request",
    "ExportResult": "thumbnet.export.request",
    "export_model": "thumbnet.export.export",
    "register_export_format": "thumbnet.export.formats",
    "register_data_source": "thumbnet.data.source_registry",
    "pack_data": "thumbnet.data.packs.pack",
    "save_dataset": "thumbnet.data.from_arrays",
    "saliency_maps": "thumbnet.evaluation.saliency",
    "save_lr_trial": "thumbnet.views.lr_trial",
    "save_figure": "thumbnet.views.figure",
    "split_folder": "thumbnet.data.split_folder",
    "summarize": "thumbnet.views.summary",
    "train": "thumbnet.runs.train",
    "train_seeds": "thumbnet.runs.seeds.train",
    "FoldRuns": "thumbnet.runs.folds.runs",
    "compare_folds": "thumbnet.runs.comparison.folds",
    "evaluate_folds": "thumbnet.runs.folds.evaluate",
    "load_folds": "thumbnet.runs.folds.runs",
    "train_folds": "thumbnet.runs.folds.train",
    "Division": "thumbnet.specs.division",
    "find_leaks": "thumbnet.data.leaks",
    "write_comparison": "thumbnet.runs.comparison.write",
    "write_report": "thumbnet.runs.write_report",
}

__all__ = ["__version__", *sorted(_MODULE_OF)]  # noqa: PLE0604  # ruff cannot see that these are all texts


def __getattr__(name: str) -> Any:
    module = _MODULE_OF.get(name)
    if module is None:
        raise AttributeError(f"module 'thumbnet' has no attribute {name!r}")
    if name != "ThumbnetError":
        cpu_form()  # a refusal, if there is one
    with extras_named(f"thumbnet.{name}"):
        value = getattr(import_module(module), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
