//! Views that users declare, judged before there is any data: each must be one statement that reads models and views, and
//! nothing that a statement may not do.
use super::{Allowed, NO_READ, Ready, compile, definitions, reads, refusal, replace_views, set_up};
use crate::{
    Result, SqlError, Table,
    sqlite::{
        compare,
        fault::{Fallible, Fault},
        models::layout::{self, Layouts},
    },
};
use evenkeel_core::{
    digest::DigestKey,
    schema::{Schema, View},
};
use rusqlite::Connection;
use std::path::Path;

/// What is wrong with views over these models, by the view's place among them.
///
/// # Errors
/// Where no table can be made for a model.
pub fn check_views(models: &[Schema], views: &[View]) -> Result<Vec<(usize, SqlError)>> {
    try_views(models, views).map_err(|fault| fault.at(Path::new(":memory:")))
}

fn try_views(models: &[Schema], views: &[View]) -> Fallible<Vec<(usize, SqlError)>> {
    let mut conn = Connection::open_in_memory()?;
    compare::register(&conn)?;
    conn.execute_batch(&super::super::create())?;
    let layouts = Layouts::new(DigestKey([0; 32]));
    let mut shapes = Vec::new();
    for schema in models {
        layout::create(&conn, schema, Table::Live)?;
        shapes.push(layouts.of(&serde_json::to_string(schema)?, Table::Live)?);
    }
    let mut ready = Ready::default();
    set_up(&mut conn, &ready)?;
    let (mut wrong, mut made) = (Vec::new(), vec![true; views.len()]);
    // One that cannot be made at all would keep the others from being looked at.
    for (index, view) in views.iter().enumerate() {
        let alone = definitions([].into_iter(), std::slice::from_ref(view));
        match replace_views(&conn, &mut ready, alone) {
            Ok(()) => {}
            Err(fault) => {
                made[index] = false;
                let error = match fault {
                    Fault::Sql(error) => refusal(error, None, &[]),
                    Fault::Store(crate::StoreError::Refused(message)) => SqlError::statement(message),
                    other => return Err(other),
                };
                wrong.push((index, error));
            }
        }
    }
    let sound: Vec<View> = views.iter().zip(&made).filter(|(_, made)| **made).map(|(view, _)| view.clone()).collect();
    replace_views(&conn, &mut ready, definitions(shapes.iter().map(AsRef::as_ref), &sound))?;
    for (index, view) in views.iter().enumerate().filter(|(index, _)| made[*index]) {
        for sql in [view.sql.clone(), format!("SELECT * FROM {}", layout::quote(&view.name))] {
            let allowed = Allowed::of(&conn, shapes.iter().map(AsRef::as_ref), &sound)?;
            let names = allowed.names();
            let (prepared, seen) = compile(&conn, &ready, allowed, &sql)?;
            ready.watch.end();
            let error = match prepared {
                Ok(prepared) if reads(&prepared) => continue,
                Ok(_) => SqlError::statement(NO_READ),
                Err(error) => refusal(error, seen.denied, &names),
            };
            wrong.push((index, error));
            break;
        }
    }
    wrong.sort_by_key(|(index, _)| *index);
    Ok(wrong)
}
