//! Curated environments of Azure ML by name: what their images held, as far as it is published (azure-ml.md §1.3.4).

/// A curated environment as packages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Curated {
    /// The Python of its image.
    pub python: &'static str,
    /// What a script finds in it; the retired SDK itself is left out.
    pub packages: &'static [&'static str],
}

/// By what a name holds; the first that fits. Versions of the name follow its family and are put in by [`find`].
const FAMILIES: &[(&str, &str, &[&str])] = &[
    (
        "acpt-pytorch",
        "3.10",
        &[
            "torch=={v}.*",
            "torchvision",
            "accelerate",
            "transformers",
            "datasets",
            "evaluate",
            "numpy",
            "pandas",
            "scikit-learn",
            "mlflow",
            "azureml-mlflow",
            "tensorboard",
        ],
    ),
    (
        "pytorch",
        "3.8",
        &[
            "torch=={v}.*",
            "torchvision",
            "numpy",
            "pandas",
            "scikit-learn",
            "matplotlib",
            "tensorboard",
            "mlflow",
            "azureml-mlflow",
        ],
    ),
    (
        "tensorflow",
        "3.8",
        &[
            "tensorflow=={v}.*",
            "numpy",
            "pandas",
            "scikit-learn",
            "matplotlib",
            "tensorboard",
            "mlflow",
            "azureml-mlflow",
        ],
    ),
    (
        "lightgbm",
        "3.8",
        &["lightgbm=={v}.*", "numpy", "pandas", "scikit-learn", "matplotlib", "dask", "mlflow", "azureml-mlflow"],
    ),
    ("scikit-learn", "3.6", &["scikit-learn=={v}.*", "numpy", "scipy", "joblib"]),
    (
        "sklearn",
        "3.10",
        &["scikit-learn=={v}.*", "numpy", "scipy", "pandas", "joblib", "matplotlib", "mlflow", "azureml-mlflow"],
    ),
    ("chainer", "3.6", &["chainer=={v}.*", "numpy", "mpi4py"]),
    ("dask", "3.6", &["dask[complete]", "distributed", "numpy", "pandas", "mpi4py"]),
    ("hyperdrive-forecastdnn", "3.6", &["torch", "numpy", "pandas", "scikit-learn"]),
    ("automl", "3.6", &["numpy", "pandas", "scikit-learn", "xgboost", "lightgbm"]),
    ("pyspark-mmlspark", "3.6", &["pyspark", "numpy"]),
    ("vowpalwabbit", "3.6", &["vowpalwabbit"]),
    ("tutorial", "3.6", &["numpy", "pandas", "scikit-learn", "matplotlib", "joblib"]),
    ("minimal", "3.6", &[]),
];

/// Pythons of before 3.8 are not to be had any more; their packages come as whatever the Python at hand takes.
const OLDEST: &str = "3.8";

/// Whether a name is one of a curated environment.
#[must_use]
pub fn is_curated(name: &str) -> bool {
    bare(name).is_some()
}

/// The name without what leads to it: `azureml:AzureML-sklearn-1.5@latest`,
/// `azureml://registries/azureml/environments/sklearn-1.5/labels/latest`, `AzureML-sklearn-1.5`.
fn bare(name: &str) -> Option<String> {
    let lower = name.to_lowercase();
    if let Some(rest) = lower.strip_prefix("azureml://registries/azureml/environments/") {
        return rest.split('/').next().map(str::to_owned);
    }
    let rest = lower.strip_prefix("azureml:").unwrap_or(&lower);
    let rest = rest.strip_prefix("azureml-")?;
    rest.split([':', '@']).next().map(str::to_owned)
}

/// What is known of it: the Python and the packages.
#[must_use]
pub fn find(name: &str) -> Option<(Option<String>, Vec<String>)> {
    let bare = bare(name)?;
    let (family, python, packages) = FAMILIES.iter().find(|(family, ..)| bare.starts_with(family))?;
    let rest = bare.strip_prefix(family).unwrap_or_default().trim_start_matches('-');
    let version: String = rest.split('-').next().unwrap_or_default().to_owned();
    let is_version = version.starts_with(|c: char| c.is_ascii_digit());
    let python = bare
        .split('-')
        .find_map(|part| {
            part.strip_prefix("py3").filter(|minor| !minor.is_empty() && minor.bytes().all(|b| b.is_ascii_digit()))
        })
        .map_or_else(|| (*python).to_owned(), |minor| format!("3.{minor}"));
    let minor = |python: &str| python.split('.').nth(1).and_then(|minor| minor.parse::<u32>().ok()).unwrap_or(0);
    let python = (minor(&python) >= minor(OLDEST)).then_some(python);
    let packages = packages
        .iter()
        .map(|package| match package.split_once("=={v}.*") {
            Some((name, _)) if !is_version => name.to_owned(),
            // Three parts are one version, two are all that begin so.
            Some((name, _)) if version.matches('.').count() >= 2 => format!("{name}=={version}"),
            Some((name, _)) => format!("{name}=={version}.*"),
            None => (*package).to_owned(),
        })
        .collect();
    Some((python, packages))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_three_generations() {
        let check = |name: &str, python: Option<&str>, first: &str| {
            let (found, packages) = find(name).unwrap_or_else(|| panic!("{name}"));
            assert_eq!(found.as_deref(), python, "{name}");
            assert_eq!(packages.first().map_or("", String::as_str), first, "{name}");
        };
        check("AzureML-Minimal", None, "");
        check("AzureML-Scikit-learn-0.20.3", None, "scikit-learn==0.20.3");
        check("AzureML-PyTorch-1.6-GPU", Some("3.8"), "torch==1.6.*");
        check("AzureML-sklearn-1.0-ubuntu20.04-py38-cpu", Some("3.8"), "scikit-learn==1.0.*");
        check("azureml:AzureML-sklearn-1.5@latest", Some("3.10"), "scikit-learn==1.5.*");
        check(
            "azureml://registries/azureml/environments/sklearn-1.5/labels/latest",
            Some("3.10"),
            "scikit-learn==1.5.*",
        );
        check("AzureML-acpt-pytorch-2.8-cuda12.6", Some("3.10"), "torch==2.8.*");
        assert_eq!(find("my-env"), None);
        assert!(is_curated("AzureML-Unheard-of") && find("AzureML-Unheard-of").is_none());
    }
}
