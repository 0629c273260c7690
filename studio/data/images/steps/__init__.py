"""Steps for pictures by registry key. A step judges pictures by what was measured: each is kept, changed, or dropped."""

from studio.core.registry import Registry

IMAGE_STEPS = Registry(
    "image step",
    {
        "caption_repair": "studio.data.images.steps.captions:CaptionRepair",
        "caption_empty": "studio.data.images.steps.captions:CaptionEmpty",
        "caption_length": "studio.data.images.steps.captions:CaptionLength",
        "caption_duplicates": "studio.data.images.steps.captions:CaptionDuplicates",
        "trigger_word": "studio.data.images.steps.captions:TriggerWord",
        "exact_duplicates": "studio.data.images.steps.duplicates:ExactImages",
        "near_duplicates": "studio.data.images.steps.duplicates:NearImages",
        "blur": "studio.data.images.steps.quality:Blur",
        "brightness": "studio.data.images.steps.quality:Brightness",
        "low_information": "studio.data.images.steps.quality:Information",
        "size": "studio.data.images.steps.geometry:ImageSize",
        "aspect": "studio.data.images.steps.geometry:Aspect",
        "resize": "studio.data.images.steps.geometry:Resize",
        "buckets": "studio.data.images.steps.geometry:Buckets",
    },
)
