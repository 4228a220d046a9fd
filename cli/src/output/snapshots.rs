//! Compares the output of every format with the files in `snapshots/`. `INSTA_UPDATE=always cargo test` rewrites them.

use atlas_model_keys_core::{KeyField, OwnedModelKey};

use super::columns::table as table_columns;
use super::tests::written_of;
use super::{Column, Csv, Json, ListedSource, Ndjson, Sink, Table, Terminal, text};

/// A project with keys as teams have them, and one with a hostile name.
fn projects() -> Vec<(ListedSource, Vec<Vec<OwnedModelKey>>)> {
    type Texts<'a> = (
        &'a str,
        &'a str,
        &'a str,
        &'a str,
        Option<&'a str>,
        Option<&'a str>,
    );
    let key = |group: &str, texts: Texts<'_>| {
        let (id, name, status, creator, created, used) = texts;
        let masked = format!("al-****{}", &id[..4]);
        let fields = [
            (KeyField::ApiKeyId, Some(id)),
            (KeyField::CreatedAt, created),
            (KeyField::CreatedBy, Some(creator)),
            (KeyField::GroupId, Some(group)),
            (KeyField::LastUsedAt, used),
            (KeyField::MaskedSecret, Some(&*masked)),
            (KeyField::Name, Some(name)),
            (KeyField::Status, Some(status)),
        ];
        let present = fields
            .iter()
            .filter_map(|(field, text)| Some((*field, (*text)?)));
        OwnedModelKey::from_fields(present)
    };
    let (first, second) = ("61cf89bae5567aa31e18b598", "61cf89bae5567aa31e18b599");
    let production = vec![
        (
            "nzkd6gw9uevdpt2kwtbms2o1",
            "search-prod",
            "ACTIVE",
            "Zoë O'Connor",
            Some("2025-06-20T12:45:52.000000+00:00"),
            Some("2026-11-27T11:57:00Z"),
        ),
        (
            "vrdu131auidahx25gg5kvk83",
            "rerank-staging",
            "ACTIVE",
            "mdb_sa_id_66f2b1d0c3a4e5f607182930",
            Some("2026-08-29T12:00:00Z"),
            Some("2026-11-26T11:00:00Z"),
        ),
        (
            "xkbdqpm9ifihhdsv0ud18wrq",
            "検索用キー",
            "SUSPENDED",
            "佐藤 花子",
            Some("2026-11-20T18:04:26Z"),
            None,
        ),
    ];
    let others = vec![
        (
            "qepj87gv1q8bvbhpxwpiftbh",
            "Jana's \"notebook\", old",
            "ACTIVE",
            "Олена Шевченко",
            None,
            None,
        ),
        (
            "hzdw6zxrc516wes8jvo8wvs3",
            "=SUM(A1)\u{1b}[2J\u{202e}",
            "ACTIVE",
            "Zoë O'Connor",
            Some("soon"),
            Some("2024-02-29T23:59:59Z"),
        ),
    ];
    let keys =
        |group, all: Vec<Texts<'_>>| all.into_iter().map(|texts| key(group, texts)).collect();
    let project = |id, name: Option<&str>, total| ListedSource {
        total: Some(total),
        ..ListedSource::new(id, name.map(str::to_owned))
    };
    let failed = ListedSource {
        error: Some("no such project (404 GROUP_NOT_FOUND)".to_owned()),
        ..ListedSource::new("61cf89bae5567aa31e18b59a", None)
    };
    vec![
        (
            project(first, Some("Production"), 3),
            vec![keys(first, production)],
        ),
        (project(second, None, 2), vec![keys(second, others)]),
        (failed, Vec::new()),
    ]
}

fn table(columns: Vec<Column>, width: Option<usize>, may_drop: bool) -> String {
    let terminal = width.map(|width| Terminal {
        width,
        colour: false,
        may_drop,
    });
    let table = written_of(projects(), |out| {
        Box::new(Table::new(out, columns, false, terminal))
    });
    if let Some(width) = width {
        assert!(
            table.lines().all(|line| text::width(line) <= width),
            "{table}"
        );
    }
    table
}

#[test]
fn tables_of_one_project() {
    let columns = || table_columns(false, false);
    insta::assert_snapshot!("table_80", table(columns(), Some(80), true));
    insta::assert_snapshot!("table_200", table(columns(), Some(200), true));
    insta::assert_snapshot!("table_in_a_pipe", table(columns(), None, true));
}

#[test]
fn tables_of_several_projects() {
    let columns = || table_columns(true, false);
    insta::assert_snapshot!("table_of_projects_80", table(columns(), Some(80), true));
    insta::assert_snapshot!("table_of_projects_200", table(columns(), Some(200), true));
    insta::assert_snapshot!("table_of_projects_in_a_pipe", table(columns(), None, true));
}

#[test]
fn table_of_chosen_columns() {
    let chosen = vec![
        Column::LAST_USED,
        Column::CREATOR,
        Column::NAME,
        Column::ID,
        Column::GroupName,
    ];
    insta::assert_snapshot!("table_of_chosen_columns_80", table(chosen, Some(80), false));
}

#[test]
fn formats_for_programs() {
    let write = |sink: fn(&mut Vec<u8>) -> Box<dyn Sink + '_>| written_of(projects(), sink);
    insta::assert_snapshot!("json", write(|out| Box::new(Json::new(out, false, false))));
    insta::assert_snapshot!(
        "json_indented",
        write(|out| Box::new(Json::new(out, true, false)))
    );
    insta::assert_snapshot!("ndjson", write(|out| Box::new(Ndjson::new(out, false))));
    let csv = write(|out| {
        let is_shown = |column: &Column| *column != Column::Field(KeyField::Secret);
        let columns = Column::all().filter(is_shown).collect();
        Box::new(Csv::new(out, columns, false).with_unknown(true))
    });
    insta::assert_snapshot!("csv", csv);
}
