# %% [markdown]
# # What lies in the carts?
#
# Cells for Jupyter (VS Code opens this file as it is, `jupytext --to notebook carts.py` makes an `.ipynb`), or a
# script: `python carts.py`. It needs pandas, matplotlib, SQLAlchemy and psycopg, and a login that may read
# the views, told as psql takes it: PGHOST, PGPORT, PGDATABASE, PGUSER, PGPASSWORD.

# %%
from __future__ import annotations

import os
import sys
from pathlib import Path

import matplotlib as mpl
import pandas as pd
import sqlalchemy

if "ipykernel" not in sys.modules:
    mpl.use("Agg")  # a script draws into a file
import matplotlib.pyplot as plt

where = sqlalchemy.URL.create(
    "postgresql+psycopg",
    host=os.environ["PGHOST"],
    port=int(os.environ.get("PGPORT", "5432")),
    database=os.environ["PGDATABASE"],
    username=os.environ["PGUSER"],
    password=os.environ.get("PGPASSWORD"),
)
# One snapshot for all questions: they agree with each other, whatever is being written meanwhile.
engine = sqlalchemy.create_engine(where, isolation_level="REPEATABLE READ")
connection = engine.connect()


def ask(sql: str) -> pd.DataFrame:
    """Rows as a frame; numbers stay exact (Decimal), so that sums of money are."""
    return pd.read_sql_query(sqlalchemy.text(sql), connection, coerce_float=False)


# %% [markdown]
# ## First: may the figures be believed?
#
# An unknown lag is no small one: stop there, and read why.

# %%
fresh = ask(
    "SELECT carts.is_fresh('10 minutes') AS is_fresh, summary"
    " FROM carts.freshness WHERE feed_range = 'all'"
)
if not fresh["is_fresh"][0]:
    sys.exit(fresh["summary"][0])
print(fresh["summary"][0])

# %% [markdown]
# ## What are the carts worth?
#
# Money is never added across currencies.

# %%
amounts = ask("SELECT cart_id, currency, total_amount FROM carts.cart_amounts")
amounts["currency"] = amounts["currency"].fillna("not told")
value = amounts.groupby("currency")["total_amount"].agg(["count", "sum", "min", "max"])
print(value.to_string())

# %% [markdown]
# ## Which items would bring most?

# %%
items = ask(
    "SELECT item, currency, sum(amount) AS amount FROM carts.cart_items"
    " WHERE amount IS NOT NULL AND currency IS NOT NULL GROUP BY item, currency"
)
revenue = items.pivot(index="item", columns="currency", values="amount")
print(revenue.to_string(na_rep="-"))

# %% [markdown]
# ## How old are they?

# %%
carts = ask(
    "SELECT extract(epoch FROM now() - last_changed_at) / 86400 AS days FROM carts.cart_totals"
)
edges = [0, 1, 7, 30, 90, float("inf")]
names = ["today", "this week", "this month", "this quarter", "older"]
ages = pd.cut(carts["days"].astype(float), edges, labels=names, include_lowest=True)
by_age = ages.value_counts().reindex(names, fill_value=0)
print(by_age.to_string())

# %%
figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4), layout="constrained")
by_age.plot.bar(ax=left, rot=0, xlabel="last change of the cart", ylabel="carts")
left.set_title("Carts by age")
main = value["count"].idxmax()
best = revenue[main].dropna().astype(float).nlargest(10).sort_values()
best.plot.barh(ax=right, xlabel=f"revenue in carts, {main}", ylabel="")
right.set_title("Items that would bring most")
figure.savefig(Path("carts.png"))
connection.close()
