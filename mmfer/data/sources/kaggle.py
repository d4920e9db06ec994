"""Download of a public dataset from Kaggle."""

from pathlib import Path

from mmfer.errors import MmferError


def download(handle: str, kind: str) -> Path:
    """Download the Kaggle dataset `handle` (owner/name) once -> its folder in kagglehub's cache.

    MmferError with both ways out where there is no network, no credentials or no such dataset.
    """
    import kagglehub

    try:
        return Path(kagglehub.dataset_download(handle))
    except Exception as error:  # the client passes on errors of a dozen libraries
        reason = (str(error).splitlines() or [type(error).__name__])[0][:200]
        raise MmferError(
            f"Kaggle dataset {handle}: download failed ({reason}); either set KAGGLE_API_TOKEN or write "
            "~/.kaggle/kaggle.json and check the network, or download the dataset by hand and set source.path of the "
            f"{kind} dataset in params.yaml to the file"
        ) from None
