//! A statement that is put together while the service runs: `sqlx::QueryBuilder` writes placeholders that PostgreSQL does
//! not know.

use std::fmt::Write as _;

use sqlx::any::AnyArguments;
use sqlx::query::Query;
use sqlx::{Any, AnyConnection, Arguments as _, AssertSqlSafe, Database as _, Encode, Sqlite, Type};

pub(crate) struct Statement {
    /// The text between the values; one more than there are values.
    texts: Vec<String>,
    values: AnyArguments,
}

impl Statement {
    pub(crate) fn new(sql: &str) -> Self {
        Self { texts: vec![sql.into()], values: AnyArguments::default() }
    }

    /// Text of ours; never a value.
    pub(crate) fn push(&mut self, sql: &'static str) -> &mut Self {
        if let Some(text) = self.texts.last_mut() {
            text.push_str(sql);
        }
        self
    }

    /// A value's placeholder, and the value.
    pub(crate) fn bind<'v>(&mut self, value: impl Encode<'v, Any> + Type<Any>) -> &mut Self {
        self.texts.push(String::new());
        // One that cannot be encoded is missing then, and the statement fails.
        let _ = self.values.add(value);
        self
    }

    /// `(…, …)` with what `one` binds for each of `items`.
    pub(crate) fn list<T>(
        &mut self,
        items: impl IntoIterator<Item = T>,
        mut one: impl FnMut(&mut Self, T),
    ) -> &mut Self {
        self.push("(");
        for (index, item) in items.into_iter().enumerate() {
            if index > 0 {
                self.push(", ");
            }
            one(self, item);
        }
        self.push(")")
    }

    /// `VALUES (…), (…)` with the rows that `one` binds for `items`; [`Statement::next`] parts a row's values.
    pub(crate) fn rows<T>(
        &mut self,
        items: impl IntoIterator<Item = T>,
        mut one: impl FnMut(&mut Self, T),
    ) -> &mut Self {
        self.push("VALUES ");
        for (index, item) in items.into_iter().enumerate() {
            self.push(if index > 0 { ", (" } else { "(" });
            one(self, item);
            self.push(")");
        }
        self
    }

    /// One more value in a row.
    pub(crate) fn next<'v>(&mut self, value: impl Encode<'v, Any> + Type<Any>) -> &mut Self {
        self.push(", ").bind(value)
    }

    /// For the database of this connection.
    pub(crate) fn query(self, db: &AnyConnection) -> Query<'static, Any, AnyArguments> {
        let sql = self.sql(db.backend_name() == Sqlite::NAME);
        sqlx::query_with(AssertSqlSafe(sql), self.values)
    }

    /// To SQLite `$1` is a name, and it goes through all names for each value: a thousand rows would take seconds.
    fn sql(&self, is_sqlite: bool) -> String {
        let mut sql = String::new();
        for (number, text) in self.texts.iter().enumerate() {
            if number > 0 && is_sqlite {
                sql.push('?');
            } else if number > 0 {
                let _ = write!(sql, "${number}");
            }
            sql.push_str(text);
        }
        sql
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_numbered_through_all_parts_of_a_statement() {
        let mut statement = Statement::new("INSERT INTO a (b, c) ");
        statement.rows([(1_i64, "x"), (2, "y")], |row, (b, c)| {
            row.bind(b).next(c);
        });
        statement.push(" WHERE d IN ").list(["p", "q"], |list, value| {
            list.bind(value);
        });
        assert_eq!(statement.sql(false), "INSERT INTO a (b, c) VALUES ($1, $2), ($3, $4) WHERE d IN ($5, $6)");
        assert_eq!(statement.sql(true), "INSERT INTO a (b, c) VALUES (?, ?), (?, ?) WHERE d IN (?, ?)");
        assert_eq!(statement.values.len(), 6);
    }
}
