//! The packages that a script imports, as far as their names are known.

/// Modules whose packages go by another name, and the most used ones that go by their own. Modules that stand in neither
/// list are the project's own, the standard library's, or the user's to add.
const PACKAGES: &[(&str, &str)] = &[
    ("sklearn", "scikit-learn"),
    ("skimage", "scikit-image"),
    ("cv2", "opencv-python-headless"),
    ("PIL", "pillow"),
    ("yaml", "pyyaml"),
    ("bs4", "beautifulsoup4"),
    ("dateutil", "python-dateutil"),
    ("pytorch_lightning", "pytorch-lightning"),
    ("sentence_transformers", "sentence-transformers"),
    ("accelerate", "accelerate"),
    ("catboost", "catboost"),
    ("click", "click"),
    ("datasets", "datasets"),
    ("duckdb", "duckdb"),
    ("fastai", "fastai"),
    ("fire", "fire"),
    ("flax", "flax"),
    ("gensim", "gensim"),
    ("h5py", "h5py"),
    ("hydra", "hydra-core"),
    ("imblearn", "imbalanced-learn"),
    ("jax", "jax"),
    ("joblib", "joblib"),
    ("keras", "keras"),
    ("lightgbm", "lightgbm"),
    ("lightning", "lightning"),
    ("matplotlib", "matplotlib"),
    ("mlflow", "mlflow"),
    ("nltk", "nltk"),
    ("numba", "numba"),
    ("numpy", "numpy"),
    ("omegaconf", "omegaconf"),
    ("onnx", "onnx"),
    ("optuna", "optuna"),
    ("pandas", "pandas"),
    ("peft", "peft"),
    ("plotly", "plotly"),
    ("polars", "polars"),
    ("pyarrow", "pyarrow"),
    ("pydantic", "pydantic"),
    ("requests", "requests"),
    ("scipy", "scipy"),
    ("seaborn", "seaborn"),
    ("shap", "shap"),
    ("spacy", "spacy"),
    ("statsmodels", "statsmodels"),
    ("tensorflow", "tensorflow"),
    ("timm", "timm"),
    ("tokenizers", "tokenizers"),
    ("torch", "torch"),
    ("torchaudio", "torchaudio"),
    ("torchvision", "torchvision"),
    ("tqdm", "tqdm"),
    ("transformers", "transformers"),
    ("typer", "typer"),
    ("xgboost", "xgboost"),
];

/// The packages of a script's `import` lines, each once, sorted.
#[must_use]
pub(super) fn packages(script: &str) -> Vec<String> {
    let mut found: Vec<String> = script
        .lines()
        .map(str::trim)
        .flat_map(|line| {
            if let Some(rest) = line.strip_prefix("from ") {
                rest.split_whitespace().take(1).collect::<Vec<_>>()
            } else if let Some(rest) = line.strip_prefix("import ") {
                rest.split(',').filter_map(|part| part.split_whitespace().next()).collect()
            } else {
                Vec::new()
            }
        })
        .filter_map(|module| {
            let top = module.split('.').next()?;
            PACKAGES.iter().find(|(name, _)| *name == top).map(|(_, package)| (*package).to_owned())
        })
        .collect();
    found.sort();
    found.dedup();
    found
}

#[cfg(test)]
mod tests {
    use super::packages;

    #[test]
    fn packages_are_known_by_their_modules() {
        let check = |script: &str, expected: &[&str]| assert_eq!(packages(script), expected, "{script}");
        check(
            "import numpy as np, pandas\nfrom sklearn.linear_model import Ridge",
            &["numpy", "pandas", "scikit-learn"],
        );
        check("    import torch\nimport torch.nn as nn", &["torch"]);
        check("import os\nfrom . import lib\nfrom mylib import x", &[]);
        check("# import numpy\nimportant numpy", &[]);
    }
}
