//! What is resolved where little is said.

use super::model::{Environment, EnvironmentKind, Packages, Project, TargetKind};
use super::*;
use crate::diagnostic::{Source, any_error};

fn resolved(text: &str) -> (Project, Vec<Diagnostic>) {
    let source = Source { name: "Amlfile".into(), text: format!("format = 1\n{text}") };
    let (document, faults) = crate::amlfile::parse(&source);
    assert!(faults.is_empty(), "{faults:#?}");
    resolve(&document, "folder", &|path| if path.as_path().extension().is_some() { Found::File } else { Found::Folder })
}

fn check(text: &str, look: impl Fn(&Project)) {
    let (project, faults) = resolved(text);
    assert!(!any_error(&faults), "{faults:#?}");
    look(&project);
}

fn environment(project: &Project, of: usize) -> &Environment {
    &project.environments[project.experiments[of].environment]
}

#[test]
fn without_an_environment_there_is_a_default_one() {
    let two = "[experiments.a]\nscript = 'a.py'\n[experiments.b]\ncommand = 'b'\n[experiments.c]\nscript = 'c.sh'\n";
    check(two, |project| {
        let managed = EnvironmentKind::Managed { python: None, packages: Packages::Listed(vec![]) };
        let bare = EnvironmentKind::UserManaged { interpreter: None };
        assert_eq!((&*environment(project, 0).name, &environment(project, 0).kind), ("default", &managed));
        assert_eq!((&*environment(project, 1).name, &environment(project, 1).kind), ("system", &bare));
        assert_eq!(environment(project, 2).name, "system");
        assert_eq!(project.environments.len(), 2);
    });
    check(
        &format!("[workspace]\ndefault_environment = 'e'\n[environments.e]\nuser_managed = true\n{two}"),
        |project| {
            assert!((0..3).all(|of| environment(project, of).name == "e"));
        },
    );
    check(&format!("[environments.default]\npackages = ['x']\n{two}"), |project| {
        assert!((0..3).all(|of| !environment(project, of).is_built_in()));
    });
}

#[test]
fn without_a_target_it_is_local() {
    check("[experiments.a]\ncommand = 'a'\n", |project| {
        assert_eq!(project.targets.len(), 1);
        assert_eq!((project.experiments[0].target, project.targets[0].kind), (0, TargetKind::Local));
    });
    let text = "[workspace]\ndefault_target = 'vm'\n[targets.local]\ntype = 'local'\ncpus = 3\n[targets.vm]\ntype = 'ssh'\nhost = 'h'\n\
                [experiments.a]\ncommand = 'a'\n[experiments.b]\ncommand = 'b'\ntarget = 'local'";
    check(text, |project| {
        assert_eq!(project.targets[0].options["cpus"], toml::Value::Integer(3));
        assert_eq!((project.experiments[0].target, project.experiments[1].target), (1, 0));
    });
}

#[test]
fn the_order_is_that_of_the_text() {
    check(
        "[experiments.z]\ncommand = '${b} ${a}'\nmatrix = { b = [1], a = [2] }\n[experiments.a]\ncommand = 'a'\n",
        |project| {
            let names: Vec<&str> = project.experiments.iter().map(|experiment| experiment.name.as_str()).collect();
            assert_eq!(names, ["z", "a"]);
            assert_eq!(
                project.experiments[0].matrix.iter().map(|(axis, ..)| axis.as_str()).collect::<Vec<_>>(),
                ["b", "a"]
            );
        },
    );
}

#[test]
fn a_script_may_come_as_an_input() {
    let source = Source {
        name: "Amlfile".into(),
        text: "format = 1\n[experiments.a]\nscript = 'gen/a.py'\ninputs = ['gen']\n".into(),
    };
    let (document, _) = crate::amlfile::parse(&source);
    let (_, faults) = resolve(&document, "folder", &|_| Found::Missing);
    assert!(faults.is_empty(), "{faults:#?}");
}

#[test]
fn each_path_is_looked_at_once() {
    let experiments: String = (0..50)
        .map(|i| format!("[experiments.e{i}]\nsource_directory = 's'\nscript = 'a.py'\n"))
        .collect::<Vec<_>>()
        .concat();
    let source = Source { name: "Amlfile".into(), text: format!("format = 1\n{experiments}") };
    let (document, _) = crate::amlfile::parse(&source);
    let looks = std::cell::Cell::new(0);
    let probe = |path: &RelPath| {
        looks.set(looks.get() + 1);
        if path.as_path().extension().is_some() { Found::File } else { Found::Folder }
    };
    assert!(resolve(&document, "folder", &probe).1.is_empty());
    assert_eq!(looks.get(), 2);
}

#[test]
fn what_cannot_be_carried_out_is_refused_only_where_it_is_used() {
    let (project, _) = resolved(
        "[targets.t]\ntype = 'kubernetes'\n[environments.c]\nconda = 'c.yml'\nspark = {}\n[experiments.a]\ncommand = 'a'\n\
         [experiments.b]\ncommand = 'b'\ntarget = 't'\nenvironment = 'c'\n",
    );
    assert!(refusals(&project, [(0, 0)]).is_empty());
    let messages: Vec<String> = refusals(&project, [(1, 1), (1, 1)]).into_iter().map(|fault| fault.message).collect();
    let expected = ["target type `kubernetes` is not available in this build"];
    assert_eq!(messages, expected);
}

#[test]
fn what_spark_cannot_be_told_is_refused() {
    let (project, _) = resolved(
        "[targets.c]\ntype = 'spark'\nmaster = 'yarn'\ndeploy_mode = 'cluster'\nhome = '/opt/spark'\n\
         [targets.r]\ntype = 'ray'\naddress = 'http://h'\n[environments.s]\nuser_managed = true\n\
         spark = { jars = ['/a.jar', 'b.jar'], py_files = ['file:///c.py', 'https://h/d.zip'] }\n\
         [experiments.a]\ncommand = 'a'\nframework = 'pyspark'\nenvironment = 's'\n",
    );
    let messages: Vec<String> = refusals(&project, [(0, 1), (0, 2)]).into_iter().map(|fault| fault.message).collect();
    let expected = [
        "`home` of a target of type `spark`",
        "`deploy_mode = \"cluster\"` of a target of type `spark`",
        "`/a.jar`, a file outside of the source directory and the inputs,",
        "`file:///c.py`, a file outside of the source directory and the inputs,",
        "framework `pyspark` without a Python `script`",
        "framework `pyspark` on a target of type `ray`",
    ];
    assert_eq!(messages, expected.map(|what| format!("{what} is not available in this build")));
}

#[test]
fn a_container_goes_to_ssh_and_to_no_cluster() {
    let (project, _) = resolved(
        "[targets.s]\ntype = 'ssh'\nhost = 'h'\n[targets.t]\ntype = 'slurm'\n[environments.c]\ndocker = { image = 'i' }\n\
         [experiments.a]\ncommand = 'a'\nenvironment = 'c'\n",
    );
    assert!(refusals(&project, [(0, 0), (0, 1)]).is_empty());
    let messages: Vec<String> = refusals(&project, [(0, 2)]).into_iter().map(|fault| fault.message).collect();
    assert_eq!(messages, ["environment kind `docker` on a target of type `slurm` is not available in this build"]);
}
