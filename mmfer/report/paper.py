"""What the paper claims (tables 1 and 2, text of 4.2), in per cent, on test sets that it filtered itself."""

SYSTEMS = {
    "ours": "the paper's network",
    "vgg": "VGG",
    "resnet": "ResNet",
    "pramerdorfer": "Pramerdorfer & Kampel",
    "agrawal": "Agrawal & Mittal",
    "svm": "SVM",
    "shan": "Shan et al.",
}
# Rows whose layers could not be read in the source: what is run is our reconstruction.
RECONSTRUCTED = {"agrawal", "gabor", "geometry", "lenet", "pramerdorfer", "pramerdorfer_ensemble", "shan"}
_FER2013 = ["angry", "disgust", "fear", "happy", "sad", "surprise", "neutral", "mean of classes", "overall"]
_CKPLUS = ["angry", "contempt", "disgust", "fear", "happy", "sadness", "surprise", "mean of classes", "overall"]


def _column(names: list[str], *values: float) -> dict[str, float]:
    return dict(zip(names, values, strict=False))


CLAIMS = {
    "fer2013": {
        "ours": _column(_FER2013, 80.10, 53.04, 70.79, 98.48, 78.26, 85.99, 91.60, 79.75, 83.37),
        "vgg": _column(_FER2013, 72.40, 49.60, 66.81, 94.32, 69.10, 80.12, 88.20, 74.36),
        "resnet": _column(_FER2013, 70.65, 52.13, 64.21, 94.24, 68.41, 78.24, 86.81, 73.53),
        "pramerdorfer": _column(_FER2013, 73.35, 51.06, 65.52, 94.28, 75.92, 84.32, 88.26, 76.10),
        "agrawal": _column(_FER2013, 67.21, 48.34, 63.50, 90.39, 71.00, 79.24, 86.21, 72.27),
    },
    "ckplus": {
        "ours": _column(_CKPLUS, 100.0, 94.74, 95.16, 96.23, 100.0, 80.58, 98.56, 95.04, 99.41),
        "vgg": _column(_CKPLUS, 97.26, 90.35, 92.11, 94.32, 98.26, 78.80, 96.24, 92.48),
        "resnet": _column(_CKPLUS, 95.38, 90.06, 90.42, 93.62, 98.05, 75.43, 95.94, 91.27),
        "svm": _column(_CKPLUS, 94.34, 88.28, 87.57, 80.40, 94.73, 74.31, 90.53, 87.17),
        "shan": _column(_CKPLUS, 95.32, 89.20, 88.24, 92.46, 96.38, 72.23, 92.72, 89.51),
    },
}
# Figure 7: the probability of the true class for four single images, in per cent; None: predicted wrong.
FIGURE_7 = [
    ("1", "original", 99.46, 98.69, 99.29),
    ("1", "mouth hidden", 92.61, 86.30, 82.15),
    ("1", "eyes hidden", 96.34, 90.24, 87.52),
    ("2", "original", 98.34, 97.62, 98.08),
    ("2", "mouth hidden", 88.10, 76.61, 72.38),
    ("2", "high brightness", 94.25, 90.84, 91.27),
    ("3", "original", 99.20, 97.91, 98.39),
    ("3", "mouth hidden", 83.46, 67.60, 63.27),
    ("3", "mouth and eyes hidden", 72.19, None, None),
    ("4", "original", 93.54, 91.02, 90.88),
    ("4", "colour distortion", 86.60, 84.00, 83.31),
    ("4", "low brightness", 89.47, 85.74, 85.20),
]
# Accuracies that others published, in per cent: system, accuracy, protocol, where it stands. Not rows of the paper.
_WUJIE = "WuJie1010, Facial-Expression-Recognition.Pytorch"
_CROPS = "mean of ten crops of each image; the best epoch is chosen on the test images"
PUBLISHED = {
    "fer2013": [
        ("VGG19", 71.50, f"PublicTest; {_CROPS}", _WUJIE),
        ("VGG19", 73.11, f"PrivateTest; {_CROPS}", _WUJIE),
        ("ResNet18", 71.19, f"PublicTest; {_CROPS}", _WUJIE),
        ("ResNet18", 72.97, f"PrivateTest; {_CROPS}", _WUJIE),
        ("VGG of eight convolutions", 73.28, f"PrivateTest; {_CROPS}", "usef-kh, fer"),
        ("ensemble of eight networks", 75.2, "test images", "Pramerdorfer & Kampel, as the RMN paper quotes them"),
        ("L2-SVM network", 71.16, "PrivateTest; 8 networks, 2,560 predictions of each image", "Tang, as quoted there"),
        ("residual masking network", 74.14, "PrivateTest; ten random views; ImageNet weights", "phamquiluan, RMN"),
    ],
    "ckplus": [
        ("VGG19", 94.65, "981 images, ten folds with people on both sides; best epoch of each test fold", _WUJIE),
        ("ResNet18", 94.04, "981 images, ten folds with people on both sides; best epoch of each test fold", _WUJIE),
    ],
}
