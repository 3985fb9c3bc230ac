"""Write the software bill of materials of a wheel: what of others is compiled into its binaries.

CycloneDX 1.6 in JSON, for ``<name>.dist-info/sboms`` (PEP 770). The same build gives the same
bytes: without SOURCE_DATE_EPOCH it has no time.
"""

from __future__ import annotations

import argparse
import datetime
import hashlib
import importlib.metadata
import json
import os
import sys
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fetch_sources import ELASTIX, ITK, Source
from supported_versions import Host, hosts

Component = dict[str, Any]

_INCLUDED = "compiled into the binaries"
_REQUIRED = "the library is not part of this wheel, but a requirement"


def property_of(name: str, value: str) -> Component:
    """Make a property in this project's namespace."""
    return {"name": f"impact-plugin:{name}", "value": value}


def of_source(source: Source, how: str, license_id: str, others: Sequence[Host] = ()) -> Component:
    """Describe elastix or ITK, of which headers and few sources are compiled in.

    Args:
        source: The sources.
        how: What of them is where.
        license_id: Of the sources.
        others: Hosts of another commit.
    """
    repository = source.repository.removesuffix(".git")
    owner, _, name = repository.removeprefix("https://github.com/").partition("/")
    return {
        "type": "library",
        "bom-ref": source.name.lower(),
        "name": source.name,
        "version": source.version,
        "licenses": [{"license": {"id": license_id}}],
        "purl": f"pkg:github/{owner.lower()}/{name.lower()}@{source.commit}",
        "externalReferences": [
            {"type": "vcs", "url": repository, "comment": f"commit {source.commit}"},
            *(
                {
                    "type": "vcs",
                    "url": repository,
                    "comment": f"for itk-elastix {' and '.join(host.itk_elastix)} as in commit "
                    f"{host.commit}",
                }
                for host in others
            ),
            {
                "type": "source-distribution",
                "url": f"{repository}/releases",
                "comment": "the archive of this version; the build may have taken the commit",
                "hashes": [{"alg": "SHA-256", "content": source.sha256}],
            },
        ],
        "properties": [property_of("use", how)],
    }


def of_package(name: str, how: str, license_id: str) -> Component:
    """Describe an installed Python package by the checksums of its files.

    Of those in its RECORD that are the wheel's own: installers add others.
    """
    distribution = importlib.metadata.distribution(name)
    rows = [
        f"{file} {file.hash.mode}={file.hash.value}\n"
        for file in distribution.files or ()
        if file.hash and ".." not in file.parts and not file.parts[0].endswith(".dist-info")
    ]
    checksums = "".join(sorted(rows)).encode()
    return {
        "type": "library",
        "bom-ref": name,
        "name": name,
        "version": distribution.version,
        "licenses": [{"license": {"id": license_id}}],
        "purl": f"pkg:pypi/{name}@{distribution.version.partition('+')[0]}",
        "properties": [
            property_of("use", how),
            property_of("sha256-of-checksums", hashlib.sha256(checksums).hexdigest()),
        ],
    }


def within_itk(name: str, license_id: str) -> Component:
    """Describe a library whose sources are part of ITK's, in ITK's version of it."""
    return {
        "type": "library",
        "bom-ref": f"itk/{name.lower()}",
        "name": name,
        "licenses": [{"license": {"id": license_id}}],
        "properties": [property_of("use", f"headers, as part of ITK {ITK.version}: {_INCLUDED}")],
    }


def components(built: Sequence[str] = ()) -> list[Component]:
    """Describe all that is compiled in.

    Args:
        built: The folders of the hosts that the wheel was built for.
    """
    itk = of_source(ITK, f"headers: {_INCLUDED}; the library comes from itk-elastix", "Apache-2.0")
    itk["components"] = [within_itk("Eigen", "MPL-2.0"), within_itk("VXL", "BSD-3-Clause")]
    return [
        of_source(
            ELASTIX,
            f"headers, elxMainExeUtilities.cxx and the main functions: {_INCLUDED}; the library "
            "comes from itk-elastix",
            "Apache-2.0",
            [host for host in hosts() if host.folder in built and host.commit != ELASTIX.commit],
        ),
        itk,
        of_package("pybind11", f"headers: {_INCLUDED}", "BSD-3-Clause"),
        of_package("torch", f"headers: {_INCLUDED}; {_REQUIRED}", "BSD-3-Clause"),
        of_package("itk-elastix", f"linked: {_REQUIRED}", "Apache-2.0"),
    ]


def bill(version: str, compiler: str, built: Sequence[str] = ()) -> Component:
    """Make the whole document.

    Args:
        version: Of this package.
        compiler: Name and version.
        built: The folders of the hosts that it was built for.
    """
    parts = components(built)
    metadata: Component = {
        "lifecycles": [{"phase": "build"}],
        "component": {
            "type": "library",
            "bom-ref": "impact-plugin",
            "name": "impact-plugin",
            "version": version,
            "licenses": [{"license": {"id": "Apache-2.0"}}],
            "purl": f"pkg:pypi/impact-plugin@{version}",
        },
        "properties": [
            property_of("compiler", compiler),
            property_of("python", ".".join(map(str, sys.version_info[:3]))),
        ],
    }
    if epoch := os.environ.get("SOURCE_DATE_EPOCH"):
        time = datetime.datetime.fromtimestamp(int(epoch), datetime.timezone.utc)
        metadata["timestamp"] = time.strftime("%Y-%m-%dT%H:%M:%SZ")
    whole: Component = {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": metadata,
        "components": parts,
        "dependencies": [
            {"ref": "impact-plugin", "dependsOn": [part["bom-ref"] for part in parts]},
            {"ref": "elastix", "dependsOn": ["itk"]},
            {"ref": "itk", "dependsOn": ["itk/eigen", "itk/vxl"]},
        ],
    }
    # Out of the contents: the same for the same.
    number = uuid.uuid5(uuid.NAMESPACE_URL, json.dumps(whole, sort_keys=True))
    return {"serialNumber": f"urn:uuid:{number}", **whole}


def main() -> None:
    """Write the file that the command line names."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("output", type=Path)
    parser.add_argument("--version", required=True, help="of impact-plugin")
    parser.add_argument("--compiler", required=True, help="name and version")
    parser.add_argument("--hosts", nargs="*", default=[], help="folders, as in versions.json")
    options = parser.parse_args()
    text = json.dumps(bill(options.version, options.compiler, options.hosts), indent=2)
    options.output.write_text(f"{text}\n", encoding="utf-8")


if __name__ == "__main__":
    main()
