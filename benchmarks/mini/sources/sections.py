"""Sections that every annual or quarterly report has, and what readers ask of each."""

from __future__ import annotations

import re

#: What a heading says, and questions that its section answers; ``company`` and ``period`` are filled in.
SECTIONS: tuple[tuple[re.Pattern[str], tuple[str, ...]], ...] = tuple(
    (re.compile(heading, re.IGNORECASE), questions)
    for heading, questions in (
        (
            r"\blegal proceedings\b|\blitigation\b|\blegal matters\b",
            (
                "Is {company} being sued by anyone?",
                "Which lawsuits could cost {company} money as of {period}?",
                "Does {company} face investigations or claims in court?",
            ),
        ),
        (
            r"\bsegment (?:information|reporting|results|data)\b|\b(?:business|reportable|operating) segments\b",
            (
                "Which segment of {company} earns the most in {period}?",
                "Into which parts does {company} divide its business?",
                "Which of {company}'s divisions grew and which shrank in {period}?",
            ),
        ),
        (
            r"\bgeographic|\bforeign operations\b|\binternational (?:operations|sales)\b",
            (
                "In which countries does {company} make its sales?",
                "What share of {company}'s sales comes from abroad in {period}?",
            ),
        ),
        (
            r"^(?:\w+ )?customers?\b",
            (
                "Who buys from {company}?",
                "Would {company} suffer if it lost one large buyer?",
            ),
        ),
        (
            r"\bcompetit",
            (
                "Against whom does {company} compete?",
                "How crowded is the market of {company}?",
            ),
        ),
        (
            r"\bhuman capital\b|\bemployees\b|\bworkforce\b|\bour people\b",
            (
                "How many people work for {company} in {period}?",
                "Are {company}'s workers members of unions?",
            ),
        ),
        (
            r"\bproperties\b|\bfacilities\b",
            (
                "Where are the offices and plants of {company}?",
                "Does {company} own or rent its buildings?",
            ),
        ),
        (
            r"\bseasonal",
            (
                "Do {company}'s sales depend on the time of the year?",
                "In which months does {company} sell most?",
            ),
        ),
        (
            r"\braw materials\b|\bsuppl(?:y|iers|ies)\b|\bsources and availability\b",
            (
                "Where does {company} get its materials?",
                "Does {company} rely on few suppliers?",
            ),
        ),
        (
            r"\bintellectual property\b|\bpatents?\b|\btrademarks?\b",
            (
                "How does {company} protect its inventions?",
                "When do {company}'s patents run out?",
            ),
        ),
        (
            r"\bregulat(?:ion|ory)\b",
            ("Which authorities watch over {company}?", "Which laws make business harder for {company}?"),
        ),
        (
            r"\benvironment",
            ("Does {company} pay for cleaning up pollution?", "What does {company} owe for damage to nature?"),
        ),
        (
            r"\bdividends?\b",
            (
                "Do shareholders of {company} get a dividend in {period}?",
                "How steady are {company}'s payments to its shareholders?",
            ),
        ),
        (
            r"\b(?:share|stock) repurchase|\bpurchases of equity securities\b|\brepurchases? of\b",
            (
                "How many of its own shares did {company} buy in {period}?",
                "How much may {company} still spend on buying back stock?",
            ),
        ),
        (
            r"\bmarket for (?:the )?(?:registrant|company|our)|\bmarket information\b|\bstock performance\b",
            (
                "Where is {company}'s stock traded?",
                "How did shares of {company} do beside the market?",
            ),
        ),
        (
            r"\bliquidity\b",
            (
                "Can {company} pay what falls due within a year?",
                "How does {company} fund itself in {period}?",
            ),
        ),
        (
            r"\bdebt\b|\bborrowings?\b|\bcredit (?:facility|facilities|agreement)\b|\bnotes payable\b|\bsenior notes\b",
            (
                "How much does {company} owe its lenders as of {period}?",
                "When must {company} pay back its loans?",
                "How much can {company} still draw from its banks?",
            ),
        ),
        (
            r"\bleases?\b",
            (
                "What will {company} pay in rent over the coming years?",
                "What are {company}'s lease liabilities in {period}?",
            ),
        ),
        (
            r"\bincome tax(?:es)?\b|\beffective tax rate\b",
            (
                "Why does {company}'s tax rate differ from the statutory one in {period}?",
                "What are {company}'s deferred taxes in {period}?",
            ),
        ),
        (
            r"\bacquisitions?\b|\bbusiness combinations?\b|\bdivestitures?\b|\bdispositions?\b|\bdiscontinued\b",
            (
                "Which businesses did {company} buy or sell around {period}?",
                "What did {company} pay for the firms it took over?",
            ),
        ),
        (
            r"\bgoodwill\b|\bintangible",
            (
                "Did {company} write down goodwill in {period}?",
                "How will {company}'s intangible assets be amortized?",
            ),
        ),
        (
            r"\brestructuring\b|\bimpairment\b|\bseverance\b",
            (
                "What does it cost {company} to reorganize in {period}?",
                "How much is set aside by {company} for layoffs and closures?",
            ),
        ),
        (
            r"\bpensions?\b|\bretirement\b|\bbenefit plans?\b|\bpostretirement\b",
            (
                "Are {company}'s pensions fully funded in {period}?",
                "What does {company} put into plans for former workers?",
            ),
        ),
        (
            r"\b(?:stock|share|equity)[- ]based compensation\b|\bstock (?:options?|plans?)\b|\bequity awards?\b",
            (
                "How much stock does {company} give to its staff in {period}?",
                "What do options and awards cost {company}?",
            ),
        ),
        (
            r"\bderivatives?\b|\bhedg",
            (
                "How does {company} hedge?",
                "What are the swaps and forwards of {company} worth in {period}?",
            ),
        ),
        (
            r"\bmarket risk\b|\binterest rate\b|\bcurrency\b|\bforeign exchange\b",
            (
                "What would a rise of interest rates cost {company}?",
                "How much do exchange rates move {company}'s results?",
            ),
        ),
        (
            r"\bfair value\b",
            ("Which assets of {company} are valued without a market price?", "What are {company}'s investments worth?"),
        ),
        (
            r"\bcritical accounting\b|\buse of estimates\b",
            ("Where do {company}'s accounts rest on judgement?", "Which estimates matter most to {company}'s figures?"),
        ),
        (
            r"\brecent(?:ly)? (?:issued |adopted )?accounting\b|\bnew accounting\b",
            ("Which new accounting rules will change {company}'s figures?",),
        ),
        (
            r"\bcommitments\b|\bcontractual obligations\b|\boff-balance\b|\bguarantees?\b",
            (
                "What has {company} promised to pay in later years?",
                "Which obligations of {company} are not on its balance sheet?",
            ),
        ),
        (
            r"\brevenue recognition\b|\bdisaggregation\b|\brevenues? from contracts\b|\bperformance obligations\b",
            (
                "When does {company} count a sale as revenue?",
                "Which products bring {company} its revenue in {period}?",
            ),
        ),
        (
            r"\b(?:earnings|income|loss) per (?:common )?share\b",
            (
                "How many diluted shares does {company} have in {period}?",
                "What did {company} earn a share in {period}?",
            ),
        ),
        (
            r"\bresults of operations\b|\bfinancial highlights\b|\bconsolidated results\b",
            (
                "How did {company} do in {period}?",
                "Did {company} earn more or less in {period} than before?",
            ),
        ),
        (
            r"\boutlook\b|\btrends\b|\bguidance\b",
            ("What does {company} expect of the coming year?", "What does {company}'s management forecast?"),
        ),
        (
            (
                r"^(?:(?:item 1\W+)?business|our (?:company|business)|(?:company|business) overview"
                r"|overview of (?:the|our) business)\W*$"
            ),
            (
                "What does {company} do?",
                "In which line of business is {company}?",
                "How does {company} earn its money?",
            ),
        ),
        (
            r"^(?:(?:our|principal|main) )?(?:products|services|brands)\b",
            ("What does {company} sell?", "Which products does {company} offer?"),
        ),
        (
            r"^(?:\w+ )?(?:research and development|innovation)\b",
            ("What is {company} working on?", "How much goes into new products at {company} in {period}?"),
        ),
        (
            r"\bexecutive officers\b|\bdirectors\b|\bgovernance\b",
            ("Who leads {company}?", "Who sits on the board of {company}?"),
        ),
        (
            r"\bcontrols and procedures\b|\binternal control\b",
            ("Are {company}'s internal controls effective in {period}?",),
        ),
        (
            r"\bindependent registered public accounting firm\b|\bcritical audit matters?\b",
            ("Who audits {company}, and what is their opinion?", "What did {company}'s auditors look at most closely?"),
        ),
        (
            r"\bsubsequent events?\b",
            ("What happened at {company} after {period} ended?",),
        ),
        (
            r"\binventor(?:y|ies)\b",
            ("What does {company} hold in stock in {period}?", "How does {company} value its inventories?"),
        ),
        (
            r"\breceivables?\b|\bcredit losses\b",
            ("How much do customers owe {company} in {period}?", "How many bad debts does {company} expect?"),
        ),
        (
            r"\bproperty, plant\b|\bcapital expenditures\b|\bproperty and equipment\b",
            ("What did {company} spend on plant and equipment in {period}?", "How old are {company}'s plants?"),
        ),
        (
            r"\bshareholders['’]? equity\b|\bstockholders['’]? equity\b|\bcapital stock\b|\bcommon stock\b",
            (
                "How many shares of {company} are outstanding in {period}?",
                "Which classes of stock does {company} have?",
            ),
        ),
        (
            r"\bcyber|\bsecurity\b",
            ("How does {company} guard against hackers?",),
        ),
    )
)


def questions_of(heading: str) -> tuple[str, ...]:
    """What readers ask of a section with this heading; nothing for a heading that only this report has."""
    return next((questions for pattern, questions in SECTIONS if pattern.search(heading)), ())
