//! conda environment files: the pip part, and those conda packages that PyPI has under a known name.
//!
//! An Amlfile's `conda = "file"` names the file itself; this is for files whose packages are wanted as a list (inline conda
//! specifications, curated environments) and for machines without conda (azure-ml.md §1.3: conda part first, then pip).

use super::doc::At;
use crate::yaml::Node;

/// What a conda file asks for, as pip understands it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Conda {
    /// The file's `name`.
    pub name: Option<String>,
    /// The Python version asked for.
    pub python: Option<String>,
    /// PEP 508 requirements.
    pub packages: Vec<String>,
    /// Conda packages that became others, as in `pytorch=1.4` and `torch==1.4`.
    pub renamed: Vec<(String, String)>,
    /// Packages without a known name on PyPI, as written.
    pub refused: Vec<String>,
    /// What says nothing to pip, as in `pip` itself.
    pub ignored: Vec<String>,
}

/// Conda names and their names on PyPI, where the two differ; by the conda-forge feedstocks' own metadata.
const RENAMED: &[(&str, &str)] = &[
    ("pytorch", "torch"),
    ("pytorch-cpu", "torch"),
    ("pytorch-gpu", "torch"),
    ("tensorflow-gpu", "tensorflow"),
    ("tensorflow-mkl", "tensorflow"),
    ("py-xgboost", "xgboost"),
    ("py-xgboost-cpu", "xgboost"),
    ("py-xgboost-gpu", "xgboost"),
    ("matplotlib-base", "matplotlib"),
    ("seaborn-base", "seaborn"),
    ("opencv", "opencv-python-headless"),
    ("py-opencv", "opencv-python-headless"),
    ("pytables", "tables"),
    ("msgpack-python", "msgpack"),
    ("python-graphviz", "graphviz"),
    ("dask-core", "dask"),
    ("ipython_genutils", "ipython-genutils"),
    ("importlib_metadata", "importlib-metadata"),
    ("huggingface_hub", "huggingface-hub"),
    ("pyyaml", "pyyaml"),
    ("mlflow-skinny", "mlflow-skinny"),
    ("faiss-cpu", "faiss-cpu"),
    ("tqdm", "tqdm"),
];

/// Conda packages that PyPI has under the same name; others are refused by name, since a package of another project may
/// bear it there.
const SAME: &[&str] = &[
    "absl-py",
    "accelerate",
    "adlfs",
    "aiohttp",
    "altair",
    "azure-core",
    "azure-identity",
    "azure-storage-blob",
    "beautifulsoup4",
    "bokeh",
    "boto3",
    "catboost",
    "click",
    "cloudpickle",
    "cython",
    "dask",
    "dask-ml",
    "datasets",
    "dill",
    "distributed",
    "duckdb",
    "evaluate",
    "fastai",
    "fastparquet",
    "fire",
    "flask",
    "fsspec",
    "gensim",
    "h5py",
    "hydra-core",
    "hyperopt",
    "imageio",
    "imbalanced-learn",
    "ipykernel",
    "ipython",
    "jax",
    "jinja2",
    "joblib",
    "jsonschema",
    "jupyter",
    "jupyterlab",
    "keras",
    "lightgbm",
    "lightning",
    "lxml",
    "matplotlib",
    "mlflow",
    "mypy",
    "networkx",
    "nltk",
    "notebook",
    "numba",
    "numpy",
    "omegaconf",
    "onnx",
    "onnxruntime",
    "openpyxl",
    "optuna",
    "packaging",
    "pandas",
    "papermill",
    "pillow",
    "plotly",
    "polars",
    "protobuf",
    "psutil",
    "pyarrow",
    "pydantic",
    "pyspark",
    "pytest",
    "python-dateutil",
    "python-dotenv",
    "pytorch-lightning",
    "pytz",
    "ray",
    "regex",
    "requests",
    "rich",
    "s3fs",
    "safetensors",
    "scikit-image",
    "scikit-learn",
    "scipy",
    "seaborn",
    "sentencepiece",
    "shap",
    "six",
    "spacy",
    "sqlalchemy",
    "statsmodels",
    "sympy",
    "tabulate",
    "tensorboard",
    "tensorflow",
    "tiktoken",
    "timm",
    "tokenizers",
    "toml",
    "torchaudio",
    "torchmetrics",
    "torchvision",
    "tornado",
    "transformers",
    "typer",
    "typing-extensions",
    "ujson",
    "umap-learn",
    "wandb",
    "wheel",
    "xgboost",
    "xlrd",
    "zarr",
];

/// What pip brings itself, or what only conda means: nothing is installed for these.
const NOTHING: &[&str] = &[
    "pip",
    "setuptools",
    "nomkl",
    "mkl",
    "cudatoolkit",
    "cpuonly",
    "pytorch-cuda",
    "ca-certificates",
    "openssl",
    "libgcc",
    "libgcc-ng",
];

/// Packages of the retired SDK v1, which no Python of today can install.
const RETIRED: &[&str] = &["azureml-", "azure-cli-ml"];

/// Whether a requirement names a package of the retired SDK.
#[must_use]
pub fn is_retired(requirement: &str) -> bool {
    let name = requirement.trim().to_lowercase();
    RETIRED.iter().any(|prefix| name.starts_with(prefix)) && !name.starts_with("azureml-mlflow")
}

/// Reads a conda environment (the map of a file, or one that stands inline).
#[must_use]
pub fn read(at: &At<'_>) -> Conda {
    let mut conda = Conda { name: at.get("name").and_then(|name| name.scalar()), ..Conda::default() };
    for item in at.get("dependencies").map(|list| list.items()).unwrap_or_default() {
        if let Some(text) = item.scalar() {
            conda.package(&text);
        }
        for pip in item.get("pip").map(|list| list.items()).unwrap_or_default() {
            if let Some(text) = pip.scalar() {
                conda.pip(&text);
            }
        }
    }
    conda
}

/// Whether a document looks like a conda environment.
#[must_use]
pub fn is_conda(root: &Node) -> bool {
    let known = ["name", "channels", "dependencies", "prefix", "variables", "platforms"];
    root.get("dependencies").is_some_and(|list| !list.items().is_empty())
        && root.entries().iter().all(|entry| known.contains(&entry.key.as_str()))
}

impl Conda {
    /// A line of the pip part.
    pub fn pip(&mut self, text: &str) {
        let text = text.split(" #").next().unwrap_or(text).trim();
        if is_retired(text) {
            self.ignored.push(text.to_owned());
        } else if text.starts_with('-')
            || text.contains("://")
            || text.starts_with('.')
            || text.to_lowercase().ends_with(".whl")
        {
            // An option, an address or a file: PEP 508 has no word for it.
            self.refused.push(text.to_owned());
        } else if !text.is_empty() {
            self.packages.push(text.to_owned());
        }
    }

    /// A conda specification: `name`, `name=1.2`, `name=1.2=build`, `channel::name>=1.2,<2`.
    pub fn package(&mut self, text: &str) {
        let spec = text.trim().rsplit("::").next().unwrap_or(text).trim();
        let end =
            spec.find(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'))).unwrap_or(spec.len());
        let (name, version) = spec.split_at(end);
        let name = name.to_lowercase();
        let version = version_of(version.trim());
        if name == "python" {
            self.python = python_of(&version);
            return;
        }
        if NOTHING.contains(&name.as_str()) {
            return self.ignored.push(text.trim().to_owned());
        }
        let pip_name = RENAMED.iter().find(|(conda, _)| *conda == name).map(|(_, pip)| *pip);
        match pip_name.or_else(|| SAME.iter().copied().find(|same| *same == name)) {
            Some(pip) => {
                let requirement = format!("{pip}{version}");
                if requirement != text.trim() {
                    self.renamed.push((text.trim().to_owned(), requirement.clone()));
                }
                self.packages.push(requirement);
            }
            None => self.refused.push(text.trim().to_owned()),
        }
    }
}

/// conda's version as PEP 440 has it: `=1.2` and `=1.2=build` are `1.2` and what begins so, `==1.2` is exact.
fn version_of(version: &str) -> String {
    if version.is_empty() || version == "*" {
        return String::new();
    }
    if let Some(exact) = version.strip_prefix("==") {
        return format!("=={}", exact.split('=').next().unwrap_or(exact).trim());
    }
    if let Some(fuzzy) = version.strip_prefix('=') {
        let plain = fuzzy.split('=').next().unwrap_or(fuzzy).trim().trim_end_matches(".*").trim_end_matches('*');
        // conda's `=1.2` means 1.2.*; three parts mean one version to whoever writes them.
        return if plain.matches('.').count() >= 2 { format!("=={plain}") } else { format!("=={plain}.*") };
    }
    if version.starts_with(|c: char| c.is_ascii_digit()) {
        // `pandas 1.1.*`: a space stands for `=`.
        return version_of(&format!("={version}"));
    }
    version.split_whitespace().collect::<Vec<_>>().join(",").replace(",,", ",")
}

/// `==3.8.13` as `3.8`: interpreters are chosen by their minor version.
fn python_of(version: &str) -> Option<String> {
    let digits = version.trim_start_matches(['=', '>', '<', '~', '!']);
    let parts: Vec<&str> = digits.split([',', ' ']).next()?.split('.').filter(|part| *part != "*").take(2).collect();
    (!parts.is_empty() && parts.iter().all(|part| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit())))
        .then(|| parts.join("."))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conda_specifications_as_pip_reads_them() {
        let check = |text: &str, expected: &str| {
            let mut conda = Conda::default();
            conda.package(text);
            let said = [
                conda.packages.join(" "),
                conda.refused.iter().flat_map(|r| ["refused ", r]).collect(),
                conda.ignored.iter().flat_map(|r| ["ignored ", r]).collect(),
                conda.python.map(|p| format!("python {p}")).unwrap_or_default(),
            ]
            .concat();
            assert_eq!(said, expected, "{text}");
        };
        check("numpy", "numpy");
        check("numpy=1.19", "numpy==1.19.*");
        check("numpy=1.19.2=py38h_0", "numpy==1.19.2");
        check("conda-forge::scikit-learn>=0.20,<1", "scikit-learn>=0.20,<1");
        check("pytorch==1.4.0", "torch==1.4.0");
        check("python=3.8.13", "python 3.8");
        check("python>=3.6", "python 3.6");
        check("python", "");
        check("pip", "ignored pip");
        check("r-base=4.0", "refused r-base=4.0");
        check("pandas 1.1.*", "pandas==1.1.*");
    }
}
