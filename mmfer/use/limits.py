"""What a page that shows answers says about them."""

PACKAGE = (
    "The network of this package was trained on FER2013: small grey photos from the web, labelled by people who often "
    "disagree. Of faces like these it takes one in three for something else, of others maybe more."
)
LIMITS = (
    "It names the look of a face in one photo, not what somebody feels or is like, and must not be used to judge "
    "people. Nothing leaves this computer, no photo is written to disk, and all is forgotten when the page is closed."
)


def about(dataset: str | None) -> str:
    """Those sentences for a network that was trained on a data set, or for that of the package (None)."""
    return f"{PACKAGE if dataset is None else f'This network was trained on {dataset}.'} {LIMITS}"
